#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "scratch.h"

#define STAGE_DIR "/tmp" /* exists on every host; covered only inside our own namespace */

static int bind_tree(const struct path_row *row)
{
	/* A detached copy, made before the stage covers anything; symbolic links are followed here,
	 * where they still mean what the host means. */
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, row->path,
			      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (fd < 0)
		return -errno;
	/* Devices too: they take what is written, and nobody changes the times of the host's node. */
	if (row->kind == PATH_DIR)
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) <
	    0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

/* Makes ./a/b and, for files, an empty ./a/b/c to mount on.  `path` is absolute; cwd is the stage.
 */
static int make_target(const char *path, enum path_kind kind)
{
	char at[WIRE_PATHS_MAX + 1] = ".";
	size_t len = strlen(path);
	int fd;

	if (len + 2 > sizeof(at))
		return -ENAMETOOLONG;
	memcpy(at + 1, path, len + 1);
	for (char *slash = strchr(at + 2, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(at, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (kind == PATH_DIR)
		return mkdir(at, 0755) < 0 && errno != EEXIST ? -errno : 0;
	fd = open(at, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int place_tree(int tree, const struct path_row *row)
{
	char at[WIRE_PATHS_MAX + 1];
	int r = make_target(row->path, row->kind);

	/* A row inside an earlier row (a read-only tree) is there already. */
	if (r == -EROFS)
		return 0;
	if (r < 0)
		return r;
	(void)snprintf(at, sizeof(at), ".%s", row->path);
	return syscall(SYS_move_mount, tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno
											    : 0;
}

static int place_all(const struct paths *paths, const int *trees)
{
	for (size_t i = 0; i < paths->count; i++) {
		int r = place_tree(trees[i], &paths->rows[i]);

		close(trees[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The working directory becomes the root; the old root goes.  pivot_root(".", ".") stacks the old
 * root on the new one, so that no directory has to be made for it. */
static int pivot_here(void)
{
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int make_root_read_only(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int rootfs_enter(const struct paths *paths, const char **ret_what)
{
	int trees[PATHS_MAX], r;

	*ret_what = "make mounts private";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < paths->count; i++) {
		*ret_what = paths->rows[i].path;
		trees[i] = bind_tree(&paths->rows[i]);
		if (trees[i] < 0)
			return trees[i];
	}
	*ret_what = "mount the root";
	if (mount("root", STAGE_DIR, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=1m,nr_inodes=1024,mode=755") < 0 ||
	    chdir(STAGE_DIR) < 0)
		return -errno;
	*ret_what = "place the trees";
	r = place_all(paths, trees);
	if (r < 0)
		return r;
	*ret_what = "place for scratch";
	if (mkdir("." SCRATCH_DIR, 0711) < 0)
		return -errno;
	*ret_what = "change the root";
	r = pivot_here();
	return r < 0 ? r : make_root_read_only();
}
