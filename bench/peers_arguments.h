// The command line of lamina-bench.
#ifndef LAMINA_BENCH_PEERS_ARGUMENTS_H_
#define LAMINA_BENCH_PEERS_ARGUMENTS_H_

#include <string>
#include <variant>
#include <vector>

#include "bench/arguments.h"
#include "bench/peers_plan.h"

namespace lamina::bench {

struct PeersArguments {
  PeersPlan plan;            // its `dir` is left to the program
  std::string parent = ".";  // of the directory that is made
  std::string json;          // a file; may be empty
};

// `arguments` without the program's name. The exit code of help or wrong usage, whose text has been
// printed.
std::variant<PeersArguments, ExitCode> ParsePeersArguments(std::vector<std::string> arguments);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_ARGUMENTS_H_
