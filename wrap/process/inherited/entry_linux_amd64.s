//go:build !cgo && !portable

#include "textflag.h"

// inherited: struct entry (24 bytes), then 8 unused, a kernel sigaction (32 bytes) to read into, and the 16 bytes that
// become the thread-local storage of the first thread.
GLOBL	·inherited(SB), NOPTR, $80

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

	// prlimit64(0, RLIMIT_AS, nil, &old): without room the runtime gives up, with a traceback
	MOVQ	$302, AX
	XORQ	DI, DI
	MOVQ	$9, SI
	XORQ	DX, DX
	LEAQ	·inherited+32(SB), R10
	SYSCALL
	MOVQ	$leastSpace, CX
	CMPQ	·inherited+32(SB), CX
	JCC	enough
	MOVQ	$1, AX // write
	MOVQ	$2, DI
	LEAQ	·tooSmall(SB), SI
	MOVQ	$tooSmallLength, DX
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
