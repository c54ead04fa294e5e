#include "os/socket_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { DIRECTORY_LIMIT = 4096 };

struct cnet_socket_file {
  cnet_socket_file *next;
  const void *owner;
  const char *path; /* in text: all of it, or what was given */
  const char *given;
  dev_t device;
  ino_t inode;
  char text[];
};

/* Of the servers that listen. */
typedef struct {
  cnet_socket_file *first;
} files;

static void remove_first(cnet_socket_file **list) {
  cnet_socket_file *file = *list;
  struct stat status;
  *list = file->next;
  if (lstat(file->path, &status) == 0 && status.st_dev == file->device && status.st_ino == file->inode)
    unlink(file->path);
  free(file);
}

static void remove_all(void *state) {
  files *f = state;
  while (f->first) remove_first(&f->first);
}

static const cnet_room room = {sizeof(files), remove_all};

/* The absolute path, which a chdir does not change. */
cnet_socket_file *cnet_socket_file_new(cnet_rooms *rooms, const char *path, size_t length) {
  char here[DIRECTORY_LIMIT];
  size_t size = sizeof here;
  cnet_socket_file *file;
  if (path[0] == '/' || uv_cwd(here, &size) < 0 || here[0] != '/') size = 0;
  file = cnet_rooms_get(rooms, &room) ? malloc(sizeof *file + size + 1 + length + 1) : NULL;
  if (!file) return NULL;
  memcpy(file->text, here, size);
  if (size > 0) file->text[size++] = '/';
  memcpy(file->text + size, path, length);
  file->text[size + length] = '\0';
  file->path = file->text;
  file->given = file->text + size;
  return file;
}

void cnet_socket_file_add(cnet_rooms *rooms, cnet_socket_file *file, const void *owner) {
  files *f = cnet_rooms_get(rooms, &room);
  struct stat status;
  if (lstat(file->path, &status) != 0) { /* too long, or not to be reached from the root */
    file->path = file->given;
    if (lstat(file->path, &status) != 0) { /* gone already */
      free(file);
      return;
    }
  }
  file->device = status.st_dev;
  file->inode = status.st_ino;
  file->owner = owner;
  file->next = f->first;
  f->first = file;
}

void cnet_socket_file_remove(cnet_rooms *rooms, const void *owner) {
  files *f = cnet_rooms_find(rooms, &room);
  cnet_socket_file **place = f ? &f->first : NULL;
  while (place && *place && (*place)->owner != owner) place = &(*place)->next;
  if (place && *place) remove_first(place);
}
