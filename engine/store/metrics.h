// What the store counts, as metrics in the Prometheus text format.
#ifndef LAMINA_ENGINE_STORE_METRICS_H_
#define LAMINA_ENGINE_STORE_METRICS_H_

#include <string>
#include <string_view>

namespace lamina {

// Each number of a JSON object that JsonWriter wrote, on a line of its own, called by the names on
// the way to it: {"io":{"reads":2}} is `lamina_io_reads 2`. True and false are 1 and 0; elements of
// an array bear their positions, `{at="0"}` (`at_2` in an inner one). Texts and nulls are left out.
std::string MetricsOf(std::string_view json) noexcept;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_METRICS_H_
