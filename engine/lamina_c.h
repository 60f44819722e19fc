/* Lamina in C: the interface for C, Python (ctypes) and other languages. lamina.h is the same in
 * C++ and explains the words.
 *
 * Conventions
 *  1. Functions that can fail return a code (LAMINA_OK is 0) and, where `error` is not NULL, set
 * *error to a message that says what was tried, on what, and what to do. *error is set to NULL on
 * success. Free it with lamina_free.
 *  2. Functions that return a pointer return NULL on failure; lamina_last_error() has the message.
 *  3. Handles are opaque and owned by the caller: free a store with lamina_close, a path with
 * lamina_path_free, text with lamina_free. Freeing NULL is allowed.
 *  4. A store may be used from any number of threads; a path by one thread at a time. A path may
 * outlive its store; only the store that made it accepts it.
 *  5. Buffers are the caller's and are not touched after a call has returned. Those of a submitted
 * call, and its states, are the store's until lamina_wait has released the ticket or lamina_cancel
 * has returned for those pages, or the store is closed.
 *  6. Page states are one byte each. Counts are pages, sizes bytes, times microseconds.
 */
#ifndef LAMINA_LAMINA_C_H_
#define LAMINA_LAMINA_C_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LAMINA_API __attribute__((visibility("default")))
#else
#define LAMINA_API
#endif

typedef struct lamina_store lamina_store;
typedef struct lamina_path lamina_path;

enum {
  LAMINA_OK = 0,
  LAMINA_INVALID_ARGUMENT = 1,
  LAMINA_IO_ERROR = 2,
  LAMINA_CORRUPTION = 3,
  LAMINA_NO_SPACE = 4,
  LAMINA_BUSY = 5,
  LAMINA_NOT_SUPPORTED = 6,
  LAMINA_CLOSED = 7,
  LAMINA_TIMED_OUT = 8
};

enum {
  LAMINA_PAGE_PENDING = 0,
  LAMINA_PAGE_OK = 1,
  LAMINA_PAGE_MISS = 2,
  LAMINA_PAGE_REJECTED = 3,
  LAMINA_PAGE_CANCELLED = 4
};

/* `options` is "key=value;key=value" as Options in lamina.h describes; NULL or "" for the defaults.
 */
LAMINA_API int lamina_open(const char* dir, const char* options, lamina_store** store,
                           char** error);
/* A read-only follower of a store that another process may be writing. */
LAMINA_API int lamina_open_read_only(const char* dir, const char* options, lamina_store** store,
                                     char** error);
/* Refuses new calls, waits for those in progress, makes a checkpoint, closes, frees. */
LAMINA_API void lamina_close(lamina_store*);

/* Whole pages only: a partial tail of the tokens is left out. */
LAMINA_API lamina_path* lamina_path_from_tokens(lamina_store*, const char* root,
                                                const uint32_t* tokens, size_t token_count,
                                                uint32_t page_tokens);
/* A chain from page 0: digest i (32 bytes) stands for the whole prefix up to page i. */
LAMINA_API lamina_path* lamina_path_from_digests(lamina_store*, const char* root,
                                                 const uint8_t* digests32, size_t page_count);
/* Flat: each key (32 bytes) alone names its page. */
LAMINA_API lamina_path* lamina_path_from_keys(lamina_store*, const char* root,
                                              const uint8_t* keys32, size_t page_count);
LAMINA_API size_t lamina_path_pages(const lamina_path*);
LAMINA_API void lamina_path_free(lamina_path*);
/* Why the last function of this thread that returns a pointer returned NULL; "" if it did not.
 * Valid until the next such call. */
LAMINA_API const char* lamina_last_error(void);

/* states[i] for each page asked: OK or MISS; NULL: stop at the first miss. *leading counts the OK
 * pages from first_page on. No tensor I/O. */
LAMINA_API int lamina_probe(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                            uint8_t* states, size_t* leading, char** error);
/* buffers and sizes are flat arrays of page_count * buffers_per_page. states may be NULL. *leading:
 * pages from first_page on that are OK. */
LAMINA_API int lamina_put(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                          const void* const* buffers, const size_t* sizes, size_t buffers_per_page,
                          uint8_t* states, size_t* leading, char** error);
LAMINA_API int lamina_get(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                          void* const* buffers, const size_t* sizes, size_t buffers_per_page,
                          uint8_t* states, size_t* leading, char** error);

typedef struct {
  uint32_t priority;    /* 0 demand, 1 prefetch */
  uint32_t backward;    /* 1: last page first */
  uint64_t deadline_us; /* from submission; 0 none. What the device has not been asked for by then
                           is CANCELLED; what it has is waited for and stays. A put looks at it
                           between steps of 32 MiB */
} lamina_io_hints;

/* The same without waiting: threads of the store serve the call. states must not be NULL: the store
 * sets each byte (release) when that page is done, so progress can be read at any time. The arrays
 * and hints (may be NULL) are copied, and the path may be used or freed at once. *ticket, never 0,
 * is to be released by lamina_wait. LAMINA_BUSY when 65,536 tickets are not released. */
LAMINA_API int lamina_submit_get(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                                 void* const* buffers, const size_t* sizes, size_t buffers_per_page,
                                 uint8_t* states, const lamina_io_hints*, uint64_t* ticket,
                                 char** error);
LAMINA_API int lamina_submit_put(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                                 const void* const* buffers, const size_t* sizes,
                                 size_t buffers_per_page, uint8_t* states, const lamina_io_hints*,
                                 uint64_t* ticket, char** error);
/* Readable while lamina_poll has something to give; for poll(2), not for reading. Owned by the
 * store. -1 when there is none. */
LAMINA_API int lamina_event_fd(lamina_store*);
/* Tickets finished since the last call, oldest first; how many. They are still to be waited for. */
LAMINA_API size_t lamina_poll(lamina_store*, uint64_t* tickets, size_t capacity);
/* Gives up pages of a call, counted from its first: what is not done becomes CANCELLED. Returns
 * when their buffers are no longer touched. The ticket stays to be waited for. */
LAMINA_API int lamina_cancel(lamina_store*, uint64_t ticket, size_t first_page, size_t page_count);
/* Waits for a ticket and releases it: 0 not at all, UINT64_MAX for ever. *leading counts the OK
 * pages from the call's first on. LAMINA_TIMED_OUT: not finished, not released.
 * LAMINA_INVALID_ARGUMENT: there is no such ticket (any more). */
LAMINA_API int lamina_wait(lamina_store*, uint64_t ticket, uint64_t timeout_us, size_t* leading,
                           char** error);

/* What a get of the pages that are stored is predicted to take: its bytes and device requests, the
 * bytes of gets that were submitted or begun before, and microseconds (median and 95th percentile).
 */
typedef struct {
  uint64_t bytes, requests, queued_bytes_ahead;
  double us_p50, us_p95;
} lamina_load_estimate;
LAMINA_API int lamina_estimate(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                               lamina_load_estimate*, char** error);
/* Pure: compute from the front, load from the back: the first page to load, given the cost of
 * computing n pages = a*n + b*n*n us. */
LAMINA_API size_t lamina_plan_restore(const lamina_load_estimate*, size_t page_count, double a,
                                      double b);

/* Used elsewhere (host memory): keep warm. */
LAMINA_API int lamina_touch(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                            char** error);
/* These pages; durable on return. */
LAMINA_API int lamina_erase(lamina_store*, lamina_path*, size_t first_page, size_t page_count,
                            char** error);
/* All pages of a root; durable on return. */
LAMINA_API int lamina_erase_root(lamina_store*, const char* root, char** error);
/* Everything acknowledged so far survives power loss. */
LAMINA_API int lamina_flush(lamina_store*, char** error);
LAMINA_API int lamina_set_capacity(lamina_store*, uint64_t capacity_bytes, char** error);
LAMINA_API int lamina_collect_garbage(lamina_store*, const char* options, char** report_json,
                                      char** error);

/* Text owned by the caller: lamina_free. */
LAMINA_API char* lamina_stats_json(lamina_store*);
LAMINA_API char* lamina_metrics_text(lamina_store*);
LAMINA_API char* lamina_explain(lamina_store*);

LAMINA_API void lamina_free(void*);
LAMINA_API const char* lamina_version(void);

#ifdef __cplusplus
}
#endif

#endif /* LAMINA_LAMINA_C_H_ */
