//go:build !portable

#include "textflag.h"

// struct catch: descriptor to report to, signals that did not fit in, faults, the runtime's handler.
GLOBL	·caught(SB), NOPTR, $32

// func catchState() *catch
TEXT ·catchState(SB),NOSPLIT,$0-8
	LEAQ	·caught(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	LEAQ	·handle(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB),NOSPLIT,$0-8
	LEAQ	·restore(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// handle is the signal handler: DI signal, SI siginfo. It writes a report (signal, si_code, si_pid, si_uid: 16
// bytes) to the descriptor, or, when that is full, sets the signal's bit. It is called with all signals blocked, on the
// alternate stack that each thread of the runtime has, and touches nothing of the runtime. The
// kernel restores all registers.
// A fault that no process sent goes to the runtime's handler, called as the kernel would.
TEXT ·handle(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	CMPL	8(SI), $0
	JLE	report
	MOVQ	·caught+16(SB), AX
	BTQ	DI, AX
	JCC	report
	MOVQ	·caught+24(SB), AX
	JMP	AX
report:
	SUBQ	$24, SP
	MOVL	DI, 0(SP)
	MOVL	8(SI), AX
	MOVL	AX, 4(SP)
	MOVL	16(SI), AX
	MOVL	AX, 8(SP)
	MOVL	20(SI), AX
	MOVL	AX, 12(SP)
	MOVQ	$1, AX // write
	MOVQ	·caught+0(SB), DI
	MOVQ	SP, SI
	MOVQ	$16, DX
	SYSCALL
	CMPQ	AX, $16
	JEQ	done
	MOVL	0(SP), AX
	DECQ	AX
	LOCK
	BTSQ	AX, ·caught+8(SB)
done:
	ADDQ	$24, SP
	RET

// restore is where the kernel lets handle return to.
TEXT ·restore(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	$15, AX // rt_sigreturn
	SYSCALL
	INT	$3
