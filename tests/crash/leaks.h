// That a store wastes nothing, once it has done what it had to do in the background.
#ifndef LAMINA_TESTS_CRASH_LEAKS_H_
#define LAMINA_TESTS_CRASH_LEAKS_H_

#include <string>

#include "engine/io/file_system.h"
#include "engine/lamina.h"

namespace lamina::testing {

// Runs all background work, flushes and compacts. Then every slot that bears a tag has its entry
// and no other entries are left, no slot stays pinned or taken, each file in the directories is one
// that the store uses, and the bytes that it accounts for are those of the file system. `directory`
// is the store's; nobody else uses it or its log directories meanwhile.
void CheckNothingLeaks(Store& store, FileSystem& fs, const std::string& directory);

}  // namespace lamina::testing

#endif  // LAMINA_TESTS_CRASH_LEAKS_H_
