//go:build !portable

#include "textflag.h"

// struct catch: descriptor to report to, signals that did not fit in, faults, the runtime's handler.
GLOBL	·caught(SB), NOPTR, $32

// func catchState() *catch
TEXT ·catchState(SB),NOSPLIT,$0-8
	MOVD	$·caught(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVD	$·handle(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB),NOSPLIT,$0-8
	MOVD	$·restore(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// handle is the signal handler: R0 signal, R1 siginfo. It writes a report (signal, si_code, si_pid, si_uid: 16
// bytes) to the descriptor, or, when that is full, sets the signal's bit. It is called with all signals blocked, on the
// alternate stack that each thread of the runtime has, and touches nothing of the runtime. The
// kernel restores all registers; R30 is where it wants us to return to.
// A fault that no process sent goes to the runtime's handler, called as the kernel would.
TEXT ·handle(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVW	8(R1), R9
	CMPW	$0, R9
	BLE	report
	MOVD	$·caught(SB), R10
	MOVD	16(R10), R9
	LSR	R0, R9, R9
	TBZ	$0, R9, report
	MOVD	24(R10), R9
	JMP	(R9)
report:
	SUB	$16, RSP
	MOVD	R0, R9
	MOVW	R0, 0(RSP)
	MOVWU	8(R1), R2
	MOVW	R2, 4(RSP)
	MOVWU	16(R1), R2
	MOVW	R2, 8(RSP)
	MOVWU	20(R1), R2
	MOVW	R2, 12(RSP)
	MOVD	$·caught(SB), R10
	MOVD	0(R10), R0
	MOVD	RSP, R1
	MOVD	$16, R2
	MOVD	$64, R8 // write
	SVC
	CMP	$16, R0
	BEQ	done
	SUB	$1, R9
	MOVD	$1, R11
	LSL	R9, R11, R11
	ADD	$8, R10
again:
	LDAXR	(R10), R12
	ORR	R11, R12
	STLXR	R12, (R10), R13
	CBNZ	R13, again
done:
	ADD	$16, RSP
	RET

// restore is where the kernel lets handle return to.
TEXT ·restore(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	$139, R8 // rt_sigreturn
	SVC
	BRK	$0
