// The lock that keeps a second writer out of a directory: flock on a file that holds the pid.
#ifndef LAMINA_ENGINE_IO_POSIX_LOCK_H_
#define LAMINA_ENGINE_IO_POSIX_LOCK_H_

#include <string>

#include "engine/base/status.h"

namespace lamina {

// Takes the lock and returns its descriptor. kBusy names the holder's pid, after a quarter of a
// second of retries: the lock of a process that was killed lives until its last I/O has ended.
Result<int> TakePosixLock(const std::string& path) noexcept;
// Unlocks at once, though rings may still hold the descriptor, and closes it.
void ReleasePosixLock(int fd) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_POSIX_LOCK_H_
