//go:build !cgo && !portable

#include "go_asm.h"
#include "textflag.h"

// inherited: struct entry (24 bytes), then 8 for a failure and a kernel sigaction (32 bytes) to read into.
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

	// limits: prlimit64(0, resource, nil, &old) for each need
	MOVD	$·needs(SB), R10
limit:
	MOVD	$0, R0
	MOVD	need_resource(R10), R1
	MOVD	$0, R2
	ADD	$32, R9, R3
	MOVD	$261, R8
	SVC
	CBNZ	R0, met // not known
	MOVD	32(R9), R11
	MOVD	need_least(R10), R12
	CMP	R12, R11
	BHS	met
	MOVD	need_resource(R10), R12
	CMP	$const_tasks, R12
	BNE	lacking

	// Each of tasksNeeded threads starts the next one and waits for its end, on the one stack, which is used by the
	// last of them only.
	MOVD	$const_tasksNeeded, R11
task:
	MOVD	$const_taskFlags, R0
	MOVD	$0, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$220, R8 // clone
	SVC
	CBZ	R0, started
	CMN	$11, R0 // EAGAIN
	BNE	ended
	MOVD	R10, 24(R9)
ended:
	CMP	$const_tasksNeeded, R11
	BEQ	counted
leave:
	MOVD	$0, R0
	MOVD	$93, R8 // exit
	SVC
started:
	SUB	$1, R11
	CBNZ	R11, task
	B	leave
counted:
	MOVD	24(R9), R12
	CBNZ	R12, lacking
met:
	ADD	$need__size, R10
	MOVD	need_least(R10), R12
	CBNZ	R12, limit
	B	enough

lacking: // what R10 points to
	MOVD	$2, R0
	MOVD	need_message(R10), R1
	MOVD	(need_message+8)(R10), R2
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
