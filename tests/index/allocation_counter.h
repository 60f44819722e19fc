// Counts what the test program has allocated with operator new and not yet deleted.
#ifndef LAMINA_TESTS_INDEX_ALLOCATION_COUNTER_H_
#define LAMINA_TESTS_INDEX_ALLOCATION_COUNTER_H_

#include <cstddef>

namespace lamina::testing {

// False under the sanitizers, which need operator new for themselves. The count stays 0 then.
bool CountsAllocations() noexcept;
// Bytes as asked for, of all threads, alignment padding left out.
size_t LiveAllocatedBytes() noexcept;

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_INDEX_ALLOCATION_COUNTER_H_
