/* SPDX-License-Identifier: GPL-2.0-only */
/* What a policy tells the outside: errors, and how it ended. */
#ifndef SX_REPORT_H
#define SX_REPORT_H

void scx_bpf_error_bstr___sx(char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;
void scx_bpf_exit_bstr___sx(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;

/* How a policy ended. The loader finds the global `sx_exit` by its BTF and reads it after detaching: keep the layout. */
struct sx_exit_record {
	s32 kind; /* enum scx_exit_kind; 1024 and above are failures, 0 is not ended yet */
	s32 exit_cpu; /* -1 where the kernel does not say */
	s64 code;
	char reason[128];
	char msg[1024];
};

/* Defines the global record; once per policy. */
#define SX_EXIT_RECORD() struct sx_exit_record sx_exit

/* Fill in the record; the body of a policy's exit callback. */
static __always_inline void sx_record_exit(struct sx_exit_record *record, const struct scx_exit_info *ei)
{
	bpf_probe_read_kernel_str(record->reason, sizeof(record->reason), ei->reason);
	bpf_probe_read_kernel_str(record->msg, sizeof(record->msg), ei->msg);
	record->exit_cpu = bpf_core_field_exists(ei->exit_cpu) ? ei->exit_cpu : -1;
	record->code = ei->exit_code;
	record->kind = ei->kind; /* last: a reader takes a kind other than 0 as "all is written" */
}

/* End the policy as failed, with a message: only for what must never happen. A benign race is no error. */
#define sx_error(fmt, args...)                                                                                         \
	({                                                                                                             \
		static char sx_fmt[] = fmt;                                                                            \
		unsigned long long sx_args[___bpf_narg(args) ?: 1] = {};                                               \
		___bpf_fill(sx_args, args);                                                                            \
		scx_bpf_error_bstr___sx(sx_fmt, sx_args, ___bpf_narg(args) * sizeof(u64));                             \
	})

/* End the policy in good order, with a code of one's own (32 bits) and a message. */
#define sx_end(code, fmt, args...)                                                                                     \
	({                                                                                                             \
		static char sx_fmt[] = fmt;                                                                            \
		unsigned long long sx_args[___bpf_narg(args) ?: 1] = {};                                               \
		___bpf_fill(sx_args, args);                                                                            \
		scx_bpf_exit_bstr___sx(code, sx_fmt, sx_args, ___bpf_narg(args) * sizeof(u64));                        \
	})

#endif
