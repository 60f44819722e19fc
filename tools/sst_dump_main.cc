// The process around sst-dump.
#include <unistd.h>

#include <string>
#include <vector>

#include "tools/sst_dump.h"

int main(int argc, char** argv) {
  using lamina::tools::Output;
  lamina::tools::IgnoreBrokenPipe();
  Output out(STDOUT_FILENO);
  Output err(STDERR_FILENO);
  return static_cast<int>(
      lamina::sst_dump::Run(std::vector<std::string>(argv + 1, argv + argc), out, err));
}
