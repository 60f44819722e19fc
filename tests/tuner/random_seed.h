// The seed of a random test: LAMINA_TEST_SEED, or the one given. Printed when a check fails.
#ifndef LAMINA_TESTS_TUNER_RANDOM_SEED_H_
#define LAMINA_TESTS_TUNER_RANDOM_SEED_H_

#include <cstdint>
#include <cstdlib>

namespace lamina::tuner {

inline uint64_t TestSeed(uint64_t otherwise) {
  const char* text = std::getenv("LAMINA_TEST_SEED");
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace lamina::tuner

// At the start of a random test: names the seed, and says how to repeat, whenever a check fails.
#define LAMINA_TUNER_SEED(name, otherwise)                    \
  const uint64_t name = ::lamina::tuner::TestSeed(otherwise); \
  INFO("repeat with LAMINA_TEST_SEED=" << name << " tuner_test")

#endif  // LAMINA_TESTS_TUNER_RANDOM_SEED_H_
