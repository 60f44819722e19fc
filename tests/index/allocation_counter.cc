#include "tests/index/allocation_counter.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/sanitizers.h"

#ifdef LAMINA_TEST_HAS_SANITIZER

namespace lamina::testing {

bool CountsAllocations() noexcept { return false; }
size_t LiveAllocatedBytes() noexcept { return 0; }

}  // namespace lamina::testing

#else

namespace {

std::atomic<size_t> live_bytes{0};

// The size is kept right before what is handed out.
void* Allocate(size_t bytes, size_t alignment) {
  alignment = std::max(alignment, alignof(std::max_align_t));
  const size_t whole = (bytes + 2 * alignment - 1) / alignment * alignment;
  auto* raw = static_cast<char*>(std::aligned_alloc(alignment, whole));
  if (raw == nullptr) std::abort();
  char* out = raw + alignment;
  std::memcpy(out - sizeof bytes, &bytes, sizeof bytes);
  live_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return out;
}

void Free(void* pointer, size_t alignment) noexcept {
  if (pointer == nullptr) return;
  alignment = std::max(alignment, alignof(std::max_align_t));
  auto* out = static_cast<char*>(pointer);
  size_t bytes;
  std::memcpy(&bytes, out - sizeof bytes, sizeof bytes);
  live_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  std::free(out - alignment);
}

}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes, 0); }
void* operator new[](size_t bytes) { return Allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t a) {
  return Allocate(bytes, static_cast<size_t>(a));
}
void* operator new[](size_t bytes, std::align_val_t a) {
  return Allocate(bytes, static_cast<size_t>(a));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes, 0); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes, 0); }
void operator delete(void* p) noexcept { Free(p, 0); }
void operator delete[](void* p) noexcept { Free(p, 0); }
void operator delete(void* p, size_t) noexcept { Free(p, 0); }
void operator delete[](void* p, size_t) noexcept { Free(p, 0); }
void operator delete(void* p, std::align_val_t a) noexcept { Free(p, static_cast<size_t>(a)); }
void operator delete[](void* p, std::align_val_t a) noexcept { Free(p, static_cast<size_t>(a)); }
void operator delete(void* p, size_t, std::align_val_t a) noexcept {
  Free(p, static_cast<size_t>(a));
}
void operator delete[](void* p, size_t, std::align_val_t a) noexcept {
  Free(p, static_cast<size_t>(a));
}

namespace lamina::testing {

bool CountsAllocations() noexcept { return true; }
size_t LiveAllocatedBytes() noexcept { return live_bytes.load(std::memory_order_relaxed); }

}  // namespace lamina::testing

#endif
