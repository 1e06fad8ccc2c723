// fails: build: use of undeclared identifier 'NOWHERE'
// SPDX-License-Identifier: GPL-2.0-only
#include "sx/sx.h"

void SX_OP(syntax_enqueue, struct task_struct *p, u64 enq_flags)
{
	sx_insert(p, NOWHERE, 0, enq_flags);
}

SX_OPS(syntax, .enqueue = (void *)syntax_enqueue);
