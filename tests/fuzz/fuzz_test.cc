// Every fuzz target over its corpus, and over random changes of it: what libFuzzer does for as long
// as one likes, for a moment in every build.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/targets.h"

namespace lamina::fuzz {
namespace {

namespace fs = std::filesystem;

fs::path FolderOf(const std::string& target) { return fs::path(LAMINA_FUZZ_CORPUS) / target; }

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> CorpusOf(const std::string& target) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(FolderOf(target))) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const fs::path& path : paths) corpus.push_back(ReadFile(path));
  return corpus;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A few changes at once: flips, bytes that are extreme, stretches that are cut, doubled, moved or
// taken from another input.
std::string Changed(std::string input, const std::string& other, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); };
  for (uint64_t changes = 1 + random() % 4; changes > 0 && !input.empty(); --changes) {
    const size_t at = below(input.size());
    const size_t length = std::min(input.size() - at, 1 + below(16));
    switch (random() % 8) {
      case 0:
      case 1:
        input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        break;
      case 2:
        input.replace(at, length, length, random() % 2 == 0 ? '\xFF' : '\0');
        break;
      case 3:
        input[at] = static_cast<char>(random());
        break;
      case 4:
        input.resize(at);
        break;
      case 5:
        input.insert(at, input.substr(below(input.size()), length));
        break;
      case 6:
        input.erase(at, length);
        break;
      default:
        if (!other.empty()) {
          const size_t from = below(other.size());
          input.replace(at, length, other.substr(from, length));
        }
    }
  }
  return input;
}

TEST_CASE("what the engine writes is accepted by every target, and is its corpus") {
  const auto real = RealInputs();
  REQUIRE(real.size() == Targets().size());
  for (const Target& target : Targets()) {
    CAPTURE(target.name);
    const std::vector<std::string>& inputs = real.at(target.name);
    for (const std::string& input : inputs) CHECK(target.run(input));
    if (std::getenv("LAMINA_REWRITE_CORPUS") != nullptr) {
      fs::create_directories(FolderOf(target.name));
      for (size_t i = 0; i < inputs.size(); ++i)
        std::ofstream(FolderOf(target.name) / std::to_string(i), std::ios::binary) << inputs[i];
    }
    for (const std::string& input : CorpusOf(target.name)) CHECK(target.run(input));
  }
}

TEST_CASE("every target survives what random changes make of its corpus") {
  const uint64_t seed = FromEnvironment("LAMINA_SEED", 1);
  const uint64_t runs = FromEnvironment("LAMINA_FUZZ_RUNS", 2000);
  INFO("LAMINA_SEED=" << seed << " repeats it");
  for (const Target& target : Targets()) {
    std::mt19937_64 random(seed);
    const std::vector<std::string> corpus = CorpusOf(target.name);
    REQUIRE_FALSE(corpus.empty());
    uint64_t accepted = 0;
    for (uint64_t run = 0; run < runs; ++run) {
      const std::string& base = corpus[random() % corpus.size()];
      const std::string& other = corpus[random() % corpus.size()];
      accepted += target.run(Changed(base, other, random)) ? 1 : 0;
    }
    CAPTURE(target.name, accepted);
    CHECK(accepted < runs);
  }
}

TEST_CASE("no target minds short inputs and none at all") {
  for (const Target& target : Targets()) {
    for (const char fill : {'\0', '\1', '\xFF'})
      for (size_t size = 0; size < 40; ++size) (void)target.run(std::string(size, fill));
  }
}

}  // namespace
}  // namespace lamina::fuzz
