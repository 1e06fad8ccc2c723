// SPDX-License-Identifier: Apache-2.0
/*
 * A "kernel" that means no good, for QEMU's -kernel (Multiboot 0.6.96): says so on the serial line, then does what HOW
 * says: 1 spins with interrupts off, 2 halts with interrupts off, 3 has the PIT and the APIC fire as fast as they can.
 */
	.text
	.long 0x1badb002, 0, -0x1badb002

	.globl _start
_start:
	cli
	mov $stack, %esp
	mov $0x3f8, %dx
	mov $said, %esi
1:	lodsb
	out %al, %dx
	test %al, %al
	jnz 1b
#if HOW == 1
	jmp .
#elif HOW == 2
1:	hlt
	jmp 1b
#else
	lgdt gdt_at
	ljmp $8, $1f
1:	mov $idt, %edi		/* every vector to one handler */
	mov $256, %ecx
	mov $fired, %eax
	mov %eax, %ebx
	and $0xffff, %ebx
	or $0x80000, %ebx
	and $0xffff0000, %eax
	or $0x8e00, %eax
2:	mov %ebx, (%edi)
	mov %eax, 4(%edi)
	add $8, %edi
	loop 2b
	lidt idt_at
	mov $0x11, %al		/* both PICs: IRQ 0 at vector 32, and only that one */
	out %al, $0x20
	mov $0x20, %al
	out %al, $0x21
	mov $4, %al
	out %al, $0x21
	mov $1, %al
	out %al, $0x21
	mov $0xfe, %al
	out %al, $0x21
	mov $0x34, %al		/* PIT channel 0: rate generator with the least count */
	out %al, $0x43
	mov $2, %al
	out %al, $0x40
	xor %al, %al
	out %al, $0x40
	mov $0xfee00000, %ebx
	movl $0x1ff, 0xf0(%ebx)	/* the APIC on */
	movl $0xb, 0x3e0(%ebx)	/* undivided */
	movl $0x20040, 0x320(%ebx) /* periodic, vector 64 */
	movl $1, 0x380(%ebx)
	sti
3:	hlt
	jmp 3b

fired:
	push %eax
	mov $0x20, %al
	out %al, $0x20
	movl $0, 0xfee000b0
	incl count
	cmpl $1, count	/* it does fire */
	jne 4f
	push %edx
	mov $0x3f8, %dx
	mov $'F', %al
	out %al, %dx
	pop %edx
4:	pop %eax
	iret
#endif

said:	.asciz "hostile\n"
	.balign 8
gdt:	.quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_at:	.word 23
	.long gdt
idt_at:	.word 2047
	.long idt
	.bss
	.balign 8
idt:	.skip 2048
count:	.skip 4
	.skip 4096
stack:
	.section .note.GNU-stack,"",@progbits
