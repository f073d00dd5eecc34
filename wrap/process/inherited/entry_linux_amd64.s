//go:build !cgo && !portable

#include "go_asm.h"
#include "textflag.h"

// inherited: struct entry (24 bytes), then 8 for a failure, a kernel sigaction (32 bytes) to read into, and the 16
// bytes that become the thread-local storage of the first thread.
GLOBL	·inherited(SB), NOPTR, $80

// The runtime calls what _cgo_init points to before anything else. runtime/cgo sets it where it is
// linked; this file is for programs without it.
DATA	_cgo_init(SB)/8, $·read(SB)
GLOBL	_cgo_init(SB), NOPTR, $8

// read runs on the operating system's stack, without a g. It keeps the C calling convention's registers and, in the
// end, points FS where the runtime expects its g, which it leaves to _cgo_init.
TEXT ·read(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	R12
	PUSHQ	R13

	// ignored: rt_sigaction(n, nil, &old, 8) for n of 1 to 64
	MOVQ	$1, R12
	XORQ	R13, R13
signal:
	MOVQ	$13, AX
	MOVQ	R12, DI
	XORQ	SI, SI
	LEAQ	·inherited+32(SB), DX
	MOVQ	$8, R10
	SYSCALL
	TESTQ	AX, AX
	JNE	next
	CMPQ	·inherited+32(SB), $1 // SIG_IGN
	JNE	next
	MOVQ	R12, CX
	DECQ	CX
	BTSQ	CX, R13
next:
	INCQ	R12
	CMPQ	R12, $64
	JLE	signal
	MOVQ	R13, ·inherited+0(SB)

	// blocked: rt_sigprocmask(0, nil, &old, 8)
	MOVQ	$14, AX
	XORQ	DI, DI
	XORQ	SI, SI
	LEAQ	·inherited+8(SB), DX
	MOVQ	$8, R10
	SYSCALL

	// closed: fcntl(n, F_GETFD) for n of 0 to 2
	XORQ	R12, R12
	XORQ	R13, R13
descriptor:
	MOVQ	$72, AX
	MOVQ	R12, DI
	MOVQ	$1, SI
	SYSCALL
	CMPQ	AX, $-9 // EBADF
	JNE	open
	BTSQ	R12, R13
open:
	INCQ	R12
	CMPQ	R12, $3
	JLT	descriptor
	MOVQ	R13, ·inherited+16(SB)

	// limits: prlimit64(0, resource, nil, &old) for each need
	LEAQ	·needs(SB), R12
limit:
	MOVQ	$302, AX
	XORQ	DI, DI
	MOVQ	need_resource(R12), SI
	XORQ	DX, DX
	LEAQ	·inherited+32(SB), R10
	SYSCALL
	TESTQ	AX, AX
	JNE	met // not known
	MOVQ	·inherited+32(SB), CX
	CMPQ	CX, need_least(R12)
	JCC	met
	CMPQ	need_resource(R12), $const_tasks
	JNE	lacking

	// Each of tasksNeeded threads starts the next one and waits for its end, on the one stack, which is used by the
	// last of them only.
	MOVQ	$const_tasksNeeded, R13
task:
	MOVQ	$56, AX // clone
	MOVQ	$const_taskFlags, DI
	XORQ	SI, SI
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JE	started
	CMPQ	AX, $-11 // EAGAIN
	JNE	ended
	MOVQ	R12, ·inherited+24(SB)
ended:
	CMPQ	R13, $const_tasksNeeded
	JEQ	counted
leave:
	MOVQ	$60, AX // exit
	XORQ	DI, DI
	SYSCALL
started:
	DECQ	R13
	JNE	task
	JMP	leave
counted:
	CMPQ	·inherited+24(SB), $0
	JNE	lacking
met:
	ADDQ	$need__size, R12
	CMPQ	need_least(R12), $0
	JNE	limit
	JMP	enough

lacking: // what R12 points to
	MOVQ	$1, AX // write
	MOVQ	$2, DI
	MOVQ	need_message(R12), SI
	MOVQ	(need_message+8)(R12), DX
	SYSCALL
	MOVQ	$231, AX // exit_group
	MOVQ	$125, DI
	SYSCALL
enough:

	// arch_prctl(ARCH_SET_FS): g lies at -8(FS)
	MOVQ	$158, AX
	MOVQ	$0x1002, DI
	LEAQ	·inherited+72(SB), SI
	SYSCALL

	POPQ	R13
	POPQ	R12
	RET

// func atEntry() *entry
TEXT ·atEntry(SB),NOSPLIT,$0-8
	LEAQ	·inherited(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
