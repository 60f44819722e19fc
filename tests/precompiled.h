// What nearly every test includes, compiled once a test program rather than once a file. Meson
// includes it in front of each file, with clang alone: each file includes what it uses all the
// same.
#ifndef LAMINA_TESTS_PRECOMPILED_H_
#define LAMINA_TESTS_PRECOMPILED_H_

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#endif  // LAMINA_TESTS_PRECOMPILED_H_
