// What lamina-bench prints and writes.
#ifndef LAMINA_BENCH_PEERS_REPORT_H_
#define LAMINA_BENCH_PEERS_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "bench/peers_rows.h"

namespace lamina::bench {

// An object.
nlohmann::json ToJson(const PeerRow& row);

// A table a shape, a line a row, then what the columns mean. Ends with a newline.
std::string FormatPeerTable(std::span<const PeerRow> rows);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PEERS_REPORT_H_
