#include "socket_file.h"

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

/* The absolute path, which a chdir does not change. */
cnet_socket_file *cnet_socket_file_new(const char *path, size_t length) {
  char here[DIRECTORY_LIMIT];
  size_t size = sizeof here;
  cnet_socket_file *file;
  if (path[0] == '/' || uv_cwd(here, &size) < 0 || here[0] != '/') size = 0;
  file = malloc(sizeof *file + size + 1 + length + 1);
  if (!file) return NULL;
  memcpy(file->text, here, size);
  if (size > 0) file->text[size++] = '/';
  memcpy(file->text + size, path, length);
  file->text[size + length] = '\0';
  file->path = file->text;
  file->given = file->text + size;
  return file;
}

void cnet_socket_file_add(cnet_socket_file **list, cnet_socket_file *file, const void *owner) {
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
  file->next = *list;
  *list = file;
}

static void remove_first(cnet_socket_file **list) {
  cnet_socket_file *file = *list;
  struct stat status;
  *list = file->next;
  if (lstat(file->path, &status) == 0 && status.st_dev == file->device && status.st_ino == file->inode)
    unlink(file->path);
  free(file);
}

void cnet_socket_file_remove(cnet_socket_file **list, const void *owner) {
  while (*list && (*list)->owner != owner) list = &(*list)->next;
  if (*list) remove_first(list);
}

void cnet_socket_file_remove_all(cnet_socket_file **list) {
  while (*list) remove_first(list);
}
