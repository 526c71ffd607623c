#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both sides are this program: the bytes of the structs travel. */
struct request {
	uint32_t slot; /* SCRATCH_SLOTS: size_mb is told */
	uint32_t size_mb;
};

struct reply {
	uint32_t slot;
	int32_t error; /* 0 or -errno */
	char path[sizeof(((struct scratch_slot *)0)->path)];
};

/* ---- init ---- */

struct init {
	char options[64]; /* of mount(2); "": not told yet */
	char paths[SCRATCH_SLOTS][sizeof(((struct scratch_slot *)0)->path)]; /* "": no slot yet */
};

static int make_directory(char *path, size_t size)
{
	uint64_t name; /* not to be guessed: who knows it may look at times and change the mode */

	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		return -EIO;
	(void)snprintf(path, size, SCRATCH_DIR "/%016llx", (unsigned long long)name);
	if (mkdir(path, 0700) == 0)
		return 0;
	path[0] = 0;
	return -errno;
}

static int mount_anew(const struct init *in, const char *path)
{
	static const struct timespec never[2] = { { 0 } };

	/* EINVAL: not mounted yet */
	if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL)
		return -errno;
	/* Access times would tell the next call what was read. */
	if (mount("scratch", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
		  in->options) < 0)
		return -errno;
	/* A file that is made within the clock tick of the mount must change the time as well. */
	return utimensat(AT_FDCWD, path, never, 0) < 0 ? -errno : 0;
}

static int renew(struct init *in, struct reply *reply)
{
	char *path = in->paths[reply->slot];
	int r = in->options[0] ? 0 : -EPROTO;

	if (r == 0 && !path[0])
		r = make_directory(path, sizeof(in->paths[0]));
	if (r == 0)
		r = mount_anew(in, path);
	(void)snprintf(reply->path, sizeof(reply->path), "%s", path);
	return r;
}

static void set_size(struct init *in, uint32_t size_mb)
{
	/* Once: what the zygote asks later, tool code may be asking.  Without a bound on inodes
	 * 200,000 of them fit into 64 MB. */
	if (!in->options[0])
		(void)snprintf(in->options, sizeof(in->options), "size=%um,nr_inodes=1024,mode=700",
			       size_mb);
}

void scratch_serve(int socket)
{
	static struct init in; /* too large for a stack frame */

	for (;;) {
		struct request request;
		struct reply reply = { 0 };
		ssize_t n = recv(socket, &request, sizeof(request), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(request))
			_exit(0);
		if (request.slot >= SCRATCH_SLOTS) {
			set_size(&in, request.size_mb);
			continue;
		}
		reply.slot = request.slot;
		reply.error = renew(&in, &reply);
		if (send(socket, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			_exit(0);
	}
}

/* ---- the zygote ---- */

static int ask(const struct scratch *s, uint32_t slot, uint32_t size_mb)
{
	const struct request request = { .slot = slot, .size_mb = size_mb };

	return send(s->init, &request, sizeof(request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int ask_for(struct scratch *s, int slot)
{
	struct scratch_slot *it = &s->slots[slot];

	/* Its rule names the root that goes away. */
	if (it->state != SLOT_ABSENT && it->ruleset >= 0)
		close(it->ruleset);
	it->ruleset = -1;
	it->state = SLOT_ASKED;
	return ask(s, (uint32_t)slot, 0);
}

int scratch_set_size(const struct scratch *s, uint32_t size_mb)
{
	return ask(s, SCRATCH_SLOTS, size_mb);
}

void scratch_forget_paths(struct scratch *s)
{
	for (int i = 0; i < s->count; i++)
		explicit_bzero(s->slots[i].path, sizeof(s->slots[i].path));
}

static bool look_at(const char *path, struct stat *ret_root, struct statfs *ret_fill)
{
	return stat(path, ret_root) == 0 && statfs(path, ret_fill) == 0;
}

int scratch_receive(struct scratch *s, const struct landlock *l)
{
	struct scratch_slot *it;
	struct reply reply;
	ssize_t n;
	int r;

	do
		n = recv(s->init, &reply, sizeof(reply), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(reply) || reply.slot >= SCRATCH_SLOTS)
		return n < 0 ? -errno : -EPROTO;
	if (reply.error < 0)
		return reply.error;
	it = &s->slots[reply.slot];
	memcpy(it->path, reply.path, sizeof(it->path));
	explicit_bzero(reply.path, sizeof(reply.path)); /* this stack is the calls' as well */
	r = look_at(it->path, &it->root, &it->fill) ? 0 : -errno;
	if (r == 0 && l->abi > 0) {
		it->ruleset = landlock_make(l, it->path);
		r = it->ruleset < 0 ? it->ruleset : 0;
	}
	if (r == 0)
		it->state = SLOT_FREE;
	return r;
}

static int find(const struct scratch *s, enum slot_state state)
{
	for (int i = 0; i < s->count; i++) {
		if (s->slots[i].state == state)
			return i;
	}
	return -1;
}

int scratch_take(struct scratch *s, const struct landlock *l)
{
	int slot = find(s, SLOT_FREE), r = 0;

	if (slot < 0 && find(s, SLOT_ASKED) < 0) {
		r = s->count < SCRATCH_SLOTS ? ask_for(s, s->count++) : -EAGAIN;
	}
	while (r == 0 && (slot = find(s, SLOT_FREE)) < 0)
		r = scratch_receive(s, l);
	if (r < 0)
		return r;
	s->slots[slot].state = SLOT_USED;
	return slot;
}

/*
 * Whatever is made, removed, renamed or changed in mode leaves its time at the root or takes room;
 * directories deeper down cannot be without one at the root.
 */
static bool is_untouched(const struct scratch_slot *it)
{
	struct stat root;
	struct statfs fill;

	return look_at(it->path, &root, &fill) && root.st_dev == it->root.st_dev &&
	       root.st_ino == it->root.st_ino && root.st_mode == it->root.st_mode &&
	       root.st_nlink == it->root.st_nlink && root.st_size == it->root.st_size &&
	       root.st_mtim.tv_sec == it->root.st_mtim.tv_sec &&
	       root.st_mtim.tv_nsec == it->root.st_mtim.tv_nsec &&
	       root.st_ctim.tv_sec == it->root.st_ctim.tv_sec &&
	       root.st_ctim.tv_nsec == it->root.st_ctim.tv_nsec &&
	       fill.f_bfree == it->fill.f_bfree && fill.f_ffree == it->fill.f_ffree;
}

int scratch_give_back(struct scratch *s, int slot)
{
	if (!is_untouched(&s->slots[slot]))
		return ask_for(s, slot);
	s->slots[slot].state = SLOT_FREE;
	return 0;
}
