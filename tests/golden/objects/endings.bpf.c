// SPDX-License-Identifier: GPL-2.0-only
/* What an exit callback may keep, in one object: `f35` where nobody learns how it ended, `ok` where somebody may. Never loaded. */
#include "sx/sx.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} ends SEC(".maps");

SX_EXIT_RECORD();
s64 end_code;
s32 end_kind, failures;
char end_message[128];
struct scx_exit_info whole;

#define CASE(name) void SX_OP_SLEEPABLE(name, struct scx_exit_info *ei)

CASE(f35_nothing)
{
	if (ei->kind >= SCX_EXIT_ERROR)
		bpf_printk("that went wrong");
}

CASE(f35_counted)
{
	if (ei->kind >= SCX_EXIT_ERROR)
		failures++;
}

CASE(f35_code)
{
	end_code = ei->exit_code;
}

CASE(f35_pointer)
{
	end_code = (s64)ei->msg;
}

CASE(f35_on_the_stack)
{
	char text[16];

	bpf_probe_read_kernel_str(text, sizeof(text), ei->msg);
	bpf_printk("%s", text);
}

CASE(ok_record)
{
	sx_record_exit(&sx_exit, ei);
}

CASE(ok_kind)
{
	end_kind = ei->kind;
}

CASE(ok_kind_in_order)
{
	__sync_val_compare_and_swap(&end_kind, end_kind, ei->kind);
}

CASE(ok_message)
{
	bpf_probe_read_kernel_str(end_message, sizeof(end_message), ei->msg);
	end_code = ei->exit_code;
}

CASE(ok_first_letter)
{
	end_message[0] = ei->reason[0];
}

CASE(ok_core_read)
{
	end_kind = BPF_CORE_READ(ei, kind);
}

CASE(ok_whole)
{
	bpf_probe_read_kernel(&whole, sizeof(whole), ei);
}

CASE(ok_element)
{
	u32 key = 0;
	u64 *at = bpf_map_lookup_elem(&ends, &key);

	if (at)
		*at = ei->kind;
}

CASE(ok_updated)
{
	u32 key = 0;
	u64 value = ei->kind;

	bpf_map_update_elem(&ends, &key, &value, BPF_ANY);
}

SX_OPS(endings, .exit = (void *)ok_record);
