//go:build !cgo && !portable

#include "textflag.h"

// inherited: struct entry (24 bytes), then 8 unused and a kernel sigaction (32 bytes) to read into.
GLOBL	·inherited(SB), NOPTR, $64

// The runtime calls what _cgo_init points to before anything else. runtime/cgo sets it where it is
// linked; this file is for programs without it.
DATA	_cgo_init(SB)/8, $·read(SB)
GLOBL	_cgo_init(SB), NOPTR, $8

// read runs on the operating system's stack, without a g in thread-local storage. It uses registers that
// the C calling convention gives away (R9 to R15), which system calls keep.
TEXT ·read(SB),NOSPLIT|NOFRAME,$0
	MOVD	$·inherited(SB), R9

	// ignored: rt_sigaction(n, nil, &old, 8) for n of 1 to 64
	MOVD	$1, R10
	MOVD	$0, R11
	MOVD	$1, R13 // the bit of signal R10
signal:
	MOVD	R10, R0
	MOVD	$0, R1
	ADD	$32, R9, R2
	MOVD	$8, R3
	MOVD	$134, R8
	SVC
	CBNZ	R0, next
	MOVD	32(R9), R12
	CMP	$1, R12 // SIG_IGN
	BNE	next
	ORR	R13, R11
next:
	LSL	$1, R13
	ADD	$1, R10
	CMP	$64, R10
	BLE	signal
	MOVD	R11, 0(R9)

	// blocked: rt_sigprocmask(0, nil, &old, 8)
	MOVD	$0, R0
	MOVD	$0, R1
	ADD	$8, R9, R2
	MOVD	$8, R3
	MOVD	$135, R8
	SVC

	// closed: fcntl(n, F_GETFD) for n of 0 to 2
	MOVD	$0, R10
	MOVD	$0, R11
	MOVD	$1, R13
descriptor:
	MOVD	R10, R0
	MOVD	$1, R1
	MOVD	$25, R8
	SVC
	CMN	$9, R0 // EBADF
	BNE	open
	ORR	R13, R11
open:
	LSL	$1, R13
	ADD	$1, R10
	CMP	$3, R10
	BLT	descriptor
	MOVD	R11, 16(R9)
	RET

// func atEntry() *entry
TEXT ·atEntry(SB),NOSPLIT,$0-8
	MOVD	$·inherited(SB), R0
	MOVD	R0, ret+0(FP)
	RET
