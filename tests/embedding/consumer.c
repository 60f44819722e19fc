/* A C program that embeds Lamina: stores two pages of two fragments each, reads them back and
 * compares every byte. Prints one line a step; embedding.py compares them. */
#include <lamina/lamina_c.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES = 2, FRAGMENTS = 2, FRAGMENT_BYTES = 65536, PAGE_TOKENS = 16 };

static void fail(const char* what, char* error) {
  fprintf(stderr, "%s: %s\n", what, error != NULL ? error : "no message");
  lamina_free(error);
  exit(1);
}

static void refuse_unknown_option(const char* dir) {
  lamina_store* store = NULL;
  char* error = NULL;
  if (lamina_open(dir, "no_such_option=1", &store, &error) != LAMINA_INVALID_ARGUMENT ||
      error == NULL || strstr(error, "no_such_option") == NULL) {
    fail("an unknown option is refused by name", error);
  }
  lamina_free(error);
}

/* The same without waiting, last page first. */
static void restore_submitted(lamina_store* store, lamina_path* path, void* const* to,
                              const size_t* sizes) {
  const lamina_io_hints hints = {0, 1, 0};
  lamina_load_estimate estimate;
  uint8_t states[PAGES];
  uint64_t ticket = 0;
  size_t leading = 0;
  char* error = NULL;
  struct pollfd ready;

  if (lamina_estimate(store, path, 0, PAGES, &estimate, &error)) fail("estimate", error);
  if (estimate.bytes != (uint64_t)PAGES * FRAGMENTS * FRAGMENT_BYTES) fail("estimate", NULL);
  if (lamina_submit_get(store, path, 0, PAGES, to, sizes, FRAGMENTS, states, &hints, &ticket,
                        &error)) {
    fail("submit", error);
  }
  ready.fd = lamina_event_fd(store);
  ready.events = POLLIN;
  if (poll(&ready, 1, -1) != 1) fail("event", NULL);
  {
    uint64_t finished = 0;
    if (lamina_poll(store, &finished, 1) != 1 || finished != ticket) fail("poll", NULL);
  }
  if (lamina_wait(store, ticket, 0, &leading, &error)) fail("wait", error);
  if (lamina_cancel(store, ticket, 0, 1) != LAMINA_INVALID_ARGUMENT) fail("cancel", NULL);
  printf("submitted %zu\n", leading);
}

static void put_and_get(lamina_store* store, lamina_path* path) {
  static unsigned char written[PAGES * FRAGMENTS][FRAGMENT_BYTES];
  static unsigned char restored[PAGES * FRAGMENTS][FRAGMENT_BYTES];
  const void* from[PAGES * FRAGMENTS];
  void* to[PAGES * FRAGMENTS];
  size_t sizes[PAGES * FRAGMENTS];
  uint8_t states[PAGES];
  size_t leading = 0;
  char* error = NULL;
  int i;

  for (i = 0; i < PAGES * FRAGMENTS; ++i) {
    memset(written[i], 'a' + i, FRAGMENT_BYTES);
    from[i] = written[i];
    to[i] = restored[i];
    sizes[i] = FRAGMENT_BYTES;
  }
  if (lamina_put(store, path, 0, PAGES, from, sizes, FRAGMENTS, states, &leading, &error)) {
    fail("put", error);
  }
  printf("stored %zu\n", leading);
  if (lamina_probe(store, path, 0, PAGES, NULL, &leading, &error)) fail("probe", error);
  printf("found %zu\n", leading);
  if (lamina_get(store, path, 0, PAGES, to, sizes, FRAGMENTS, states, &leading, &error)) {
    fail("get", error);
  }
  if (memcmp(written, restored, sizeof(written)) != 0) fail("compare", NULL);
  printf("restored %zu\n", leading);
  memset(restored, 0, sizeof(restored));
  restore_submitted(store, path, to, sizes);
  if (memcmp(written, restored, sizeof(written)) != 0) fail("compare", NULL);
}

int main(int argc, char** argv) {
  lamina_store* store = NULL;
  lamina_path* path;
  char* error = NULL;
  uint32_t tokens[PAGES * PAGE_TOKENS + 1];
  uint32_t i;

  if (argc != 2) return 2;
  printf("lamina %s\n", lamina_version());
  refuse_unknown_option(argv[1]);
  if (lamina_open(argv[1], "memory_bytes=64M", &store, &error)) fail("open", error);
  for (i = 0; i < PAGES * PAGE_TOKENS + 1; ++i) tokens[i] = i;
  path = lamina_path_from_tokens(store, "model", tokens, PAGES * PAGE_TOKENS + 1, PAGE_TOKENS);
  if (path == NULL) fail("path", NULL);
  printf("pages %zu\n", lamina_path_pages(path));
  put_and_get(store, path);
  lamina_path_free(path);
  lamina_close(store);
  return 0;
}
