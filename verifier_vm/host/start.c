// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 of a long-lived host until its own /sbin/init takes over: modules, root file system, network address, files given.
 *
 * A distribution's initramfs would do the same with a shell, udev and ten seconds of an emulated CPU. Any failure is said
 * on the console and panics the kernel, which ends QEMU: a host that is half there would look like one that is slow.
 */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "/root"
#define DISK "/dev/vda"
#define GIVEN "/dev/vdb" /* a tar archive that the host gets anew with each start */
#define CARD "eth0"
#define ADDRESS "10.0.2.15" /* what QEMU's user network forwards to */
#define MASK "255.255.255.0"
#define WAIT_MS 20
#define WAITS 500

static void must(int failed, const char *what)
{
	if (!failed)
		return;
	fprintf(stderr, "start: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* /modules/0, /modules/1, …: in the order in which they need one another, as they lie in Debian's package. */
static void load_modules(void)
{
	char path[32];
	int fd;

	for (int i = 0;; i++) {
		snprintf(path, sizeof(path), "/modules/%d", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return;
		must(syscall(SYS_finit_module, fd, "", MODULE_INIT_COMPRESSED_FILE) != 0, path);
		close(fd);
	}
}

static void await(const char *path)
{
	for (int i = 0; access(path, F_OK) && i < WAITS; i++)
		usleep(WAIT_MS * 1000);
}

static void set_address(int fd, unsigned long what, const char *text)
{
	struct ifreq request = {.ifr_name = CARD};
	struct sockaddr_in address = {.sin_family = AF_INET};

	inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	must(ioctl(fd, what, &request) != 0, text);
}

static void bring_up(int fd, const char *name)
{
	struct ifreq request = {0};

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	must(ioctl(fd, SIOCGIFFLAGS, &request) != 0, name);
	request.ifr_flags |= IFF_UP;
	must(ioctl(fd, SIOCSIFFLAGS, &request) != 0, name);
}

static void start_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(fd < 0, "socket");
	bring_up(fd, "lo");
	set_address(fd, SIOCSIFADDR, ADDRESS);
	set_address(fd, SIOCSIFNETMASK, MASK);
	bring_up(fd, CARD);
	close(fd);
}

/* With the host's own tar, below its own root: whatever is in the archive cannot reach beyond that. */
static void unpack_given(void)
{
	pid_t child = fork();
	int status = 0;

	must(child < 0, "fork");
	if (child == 0) {
		must(chroot(ROOT) || chdir("/"), "chroot");
		execl("/usr/bin/tar", "tar", "-xf", GIVEN, "-C", "/", "--no-same-owner", "--keep-directory-symlink", (char *)NULL);
		must(1, "tar");
	}
	must(waitpid(child, &status, 0) != child, "wait");
	errno = EIO;
	must(status != 0, "the files given to this host");
}

int main(void)
{
	must(mount("dev", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY, "/dev");
	load_modules();
	await(DISK);
	await(GIVEN);
	must(mount(DISK, ROOT, "ext4", MS_NOATIME, NULL) != 0, DISK);
	start_network();
	must(mount("dev", ROOT "/dev", "devtmpfs", 0, NULL) != 0, ROOT "/dev");
	unpack_given();
	must(chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"), "the root file system");
	execl("/sbin/init", "init", (char *)NULL);
	must(1, "/sbin/init");
}
