// libFuzzer over one target: `fuzz TARGET [CORPUS...] [-flags]`.
#include <cstdint>
#include <cstring>

#include "tests/fuzz/targets.h"

namespace {

const lamina::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (const auto& target : lamina::fuzz::Targets()) {
    if (*argc > 1 && std::strcmp((*argv)[1], target.name) == 0) chosen = &target;
  }
  if (chosen == nullptr) {
    std::fprintf(stderr, "usage: fuzz TARGET [libFuzzer's arguments]; the targets are\n");
    for (const auto& target : lamina::fuzz::Targets()) std::fprintf(stderr, "  %s\n", target.name);
    std::exit(2);
  }
  (*argv)[1] = (*argv)[0];
  ++*argv;
  --*argc;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
