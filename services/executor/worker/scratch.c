#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum request_kind {
	REQUEST_OPEN,   /* make the place where slots are; answered */
	REQUEST_SIZE,   /* of each slot, in MB; not answered */
	REQUEST_MOUNT,  /* slot: empty, under a new name; answered */
	REQUEST_RENAME, /* slot: as it is, under a new name; answered */
};

/* Both sides are this program: the bytes of the structs travel. */
struct request {
	uint32_t kind;
	uint32_t value; /* a slot or a size */
};

struct reply {
	uint32_t slot;
	int32_t error; /* 0 or -errno */
	char path[sizeof(((struct scratch_slot *)0)->path)];
};

/* ---- init ---- */

#define MOUNT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME)

struct init {
	int place;        /* the directory of the slots, writable; -1: not open yet */
	char options[64]; /* of mount(2); "": not told yet */
	char paths[SCRATCH_SLOTS][sizeof(((struct scratch_slot *)0)->path)]; /* "": no slot yet */
};

/* Everybody else sees the place read-only: it belongs to the calls' own user. */
static int open_place(struct init *in)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (in->place >= 0)
		return -EALREADY;
	if (mount("slots", SCRATCH_DIR, "tmpfs", MOUNT_FLAGS, "size=4k,nr_inodes=1024,mode=711") <
	    0)
		return -errno;
	in->place = (int)syscall(SYS_open_tree, AT_FDCWD, SCRATCH_DIR,
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (in->place < 0 ||
	    syscall(SYS_mount_setattr, AT_FDCWD, SCRATCH_DIR, 0, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

static const char *name_in_place(const char *path)
{
	return path + sizeof(SCRATCH_DIR);
}

static int make_directory(const struct init *in, char *path, size_t size)
{
	uint64_t name; /* not to be guessed: who knows it may look at times and change the mode */

	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		return -EIO;
	(void)snprintf(path, size, SCRATCH_DIR "/%016llx", (unsigned long long)name);
	return mkdirat(in->place, name_in_place(path), 0700) < 0 ? -errno : 0;
}

static int mount_empty(const struct init *in, const char *path)
{
	static const struct timespec never[2] = { { 0 } };

	/* Access times would tell the next call what was read. */
	if (mount("scratch", path, "tmpfs", MOUNT_FLAGS, in->options) < 0)
		return -errno;
	/* A file that is made within the clock tick of the mount must change the time as well. */
	return utimensat(AT_FDCWD, path, never, 0) < 0 ? -errno : 0;
}

/* No name is used twice: calls tell their callers where they are. */
static int fill_slot(struct init *in, uint32_t kind, char *path)
{
	char fresh[sizeof(in->paths[0])];
	int r = in->options[0] ? make_directory(in, fresh, sizeof(fresh)) : -EPROTO;

	if (r < 0)
		return r;
	if (kind == REQUEST_MOUNT) {
		if (path[0])
			(void)umount2(path, MNT_DETACH);
		r = mount_empty(in, fresh);
	} else if (syscall(SYS_move_mount, AT_FDCWD, path, AT_FDCWD, fresh, 0) < 0) {
		r = -errno;
	}
	/* Refused if something is mounted there after all. */
	if (path[0] && unlinkat(in->place, name_in_place(path), AT_REMOVEDIR) < 0 && r == 0)
		r = -errno;
	memcpy(path, fresh, sizeof(fresh));
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

static void obey(struct init *in, const struct request *request, struct reply *reply)
{
	reply->slot = request->value;
	if (request->kind == REQUEST_OPEN) {
		reply->error = open_place(in);
	} else if (request->value >= SCRATCH_SLOTS || request->kind > REQUEST_RENAME) {
		reply->error = -EINVAL;
	} else {
		reply->error = fill_slot(in, request->kind, in->paths[request->value]);
		memcpy(reply->path, in->paths[request->value], sizeof(reply->path));
	}
}

void scratch_serve(int socket)
{
	static struct init in = { .place = -1 }; /* too large for a stack frame */

	for (;;) {
		struct request request;
		struct reply reply = { 0 };
		ssize_t n = recv(socket, &request, sizeof(request), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(request))
			_exit(0);
		if (request.kind == REQUEST_SIZE) {
			set_size(&in, request.value);
			continue;
		}
		obey(&in, &request, &reply);
		if (send(socket, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			_exit(0);
	}
}

/* ---- the zygote ---- */

static int ask(const struct scratch *s, enum request_kind kind, uint32_t value)
{
	const struct request request = { .kind = kind, .value = value };

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
	return ask(s, REQUEST_MOUNT, (uint32_t)slot);
}

static int ask_for_name(struct scratch *s, int slot)
{
	s->slots[slot].state = SLOT_RENAMED;
	return ask(s, REQUEST_RENAME, (uint32_t)slot);
}

int scratch_set_size(const struct scratch *s, uint32_t size_mb)
{
	return ask(s, REQUEST_SIZE, size_mb);
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

/* Returns 0, or -errno: init's own error too. */
static int receive(const struct scratch *s, struct reply *ret)
{
	ssize_t n;

	do
		n = recv(s->init, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(*ret))
		return n < 0 ? -errno : -EPROTO;
	return ret->error;
}

int scratch_open(const struct scratch *s)
{
	struct reply reply;
	int r = ask(s, REQUEST_OPEN, 0);

	return r < 0 ? r : receive(s, &reply);
}

/* What was mounted just now. */
static int note_new(struct scratch_slot *it, const struct landlock *l)
{
	if (!look_at(it->path, &it->root, &it->fill))
		return -errno;
	if (l->abi > 0)
		it->ruleset = landlock_make(l, it->path);
	return l->abi > 0 && it->ruleset < 0 ? it->ruleset : 0;
}

int scratch_receive(struct scratch *s, const struct landlock *l)
{
	struct scratch_slot *it;
	struct reply reply;
	int r = receive(s, &reply);

	if (r < 0)
		return r;
	if (reply.slot >= SCRATCH_SLOTS)
		return -EPROTO;
	it = &s->slots[reply.slot];
	memcpy(it->path, reply.path, sizeof(it->path));
	explicit_bzero(reply.path, sizeof(reply.path)); /* this stack is the calls' as well */
	r = it->state == SLOT_ASKED ? note_new(it, l) : 0;
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

	if (slot < 0 && find(s, SLOT_ASKED) < 0 && find(s, SLOT_RENAMED) < 0) {
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
	return is_untouched(&s->slots[slot]) ? ask_for_name(s, slot) : ask_for(s, slot);
}
