// The process around vlog-gc. SIGINT and SIGTERM end it in order.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <vector>

#include "tools/vlog_gc.h"

namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void Stop(int) { stop = true; }

}  // namespace

int main(int argc, char** argv) {
  using lamina::tools::Output;
  lamina::tools::IgnoreBrokenPipe();
  std::signal(SIGINT, Stop);
  std::signal(SIGTERM, Stop);
  Output out(STDOUT_FILENO);
  Output err(STDERR_FILENO);
  return static_cast<int>(
      lamina::vlog_gc::Run(std::vector<std::string>(argv + 1, argv + argc), stop, out, err));
}
