//go:build !cgo && !portable

#include "textflag.h"

// inherited: struct entry (24 bytes), then 8 unused and a kernel sigaction (32 bytes) to read into.
GLOBL	·inherited(SB), NOPTR, $64

// The runtime calls what _cgo_init points to before anything else. runtime/cgo sets it where it is
// linked; this file is for programs without it.
DATA	_cgo_init(SB)/8, $·read(SB)
GLOBL	_cgo_init(SB), NOPTR, $8

// tooSmall is what is said where the address space is too small for the runtime, of which leastSpace bytes are enough.
#define leastSpace 1468006400
#define tooSmallLength 80
DATA	·tooSmall+0(SB)/8, $"limit: t"
DATA	·tooSmall+8(SB)/8, $"oo littl"
DATA	·tooSmall+16(SB)/8, $"e addres"
DATA	·tooSmall+24(SB)/8, $"s space "
DATA	·tooSmall+32(SB)/8, $"is allow"
DATA	·tooSmall+40(SB)/8, $"ed; rais"
DATA	·tooSmall+48(SB)/8, $"e the li"
DATA	·tooSmall+56(SB)/8, $"mit (uli"
DATA	·tooSmall+64(SB)/8, $"mit -v 1"
DATA	·tooSmall+72(SB)/8, $"468006)\n"
GLOBL	·tooSmall(SB), NOPTR|RODATA, $80

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

	// prlimit64(0, RLIMIT_AS, nil, &old): without room the runtime gives up, with a traceback
	MOVD	$0, R0
	MOVD	$9, R1
	MOVD	$0, R2
	ADD	$32, R9, R3
	MOVD	$261, R8
	SVC
	MOVD	32(R9), R10
	MOVD	$leastSpace, R11
	CMP	R11, R10
	BHS	enough
	MOVD	$2, R0
	MOVD	$·tooSmall(SB), R1
	MOVD	$tooSmallLength, R2
	MOVD	$64, R8 // write
	SVC
	MOVD	$125, R0
	MOVD	$94, R8 // exit_group
	SVC
enough:
	RET

// func atEntry() *entry
TEXT ·atEntry(SB),NOSPLIT,$0-8
	MOVD	$·inherited(SB), R0
	MOVD	R0, ret+0(FP)
	RET
