// The parsers of bytes from outside, each as a function that takes any bytes: fuzz_main.cc gives
// them to libFuzzer, fuzz_test.cc runs them over the corpus in every build.
//
// An input's first byte says whether checksums are made right before the rest is parsed (odd), so
// that what lies behind them is reached; the rest is the file. A target checks what must hold for
// whatever was accepted, and returns whether it was.
#ifndef LAMINA_TESTS_FUZZ_TARGETS_H_
#define LAMINA_TESTS_FUZZ_TARGETS_H_

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::fuzz {

struct Target {
  const char* name;  // of its folder in corpus/ as well
  bool (*run)(std::string_view input);
};

std::span<const Target> Targets();

// Inputs that parse, made from what the engine writes: name of the target to inputs.
std::map<std::string, std::vector<std::string>> RealInputs();

// Splits the first byte off; true if checksums are to be made right.
inline bool TakeMode(std::string_view* input) {
  if (input->empty()) return false;
  const bool seal = (input->front() & 1) != 0;
  input->remove_prefix(1);
  return seal;
}

// What holds whatever the input is; a fuzzer stops where it does not.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// targets_index.cc
bool FuzzTable(std::string_view input);
bool FuzzDataBlock(std::string_view input);
bool FuzzIndexBlock(std::string_view input);
bool FuzzTopIndex(std::string_view input);
bool FuzzProperties(std::string_view input);
bool FuzzFilter(std::string_view input);
// targets_log.cc
bool FuzzJournal(std::string_view input);
bool FuzzSlotTable(std::string_view input);
bool FuzzLogDirMarker(std::string_view input);
bool FuzzPolicy(std::string_view input);
// targets_store.cc
bool FuzzCurrent(std::string_view input);
bool FuzzManifest(std::string_view input);
bool FuzzManifestEdit(std::string_view input);
bool FuzzTunerJournal(std::string_view input);
bool FuzzFileNames(std::string_view input);
bool FuzzOptions(std::string_view input);
bool FuzzCollectOptions(std::string_view input);

}  // namespace lamina::fuzz

#endif  // LAMINA_TESTS_FUZZ_TARGETS_H_
