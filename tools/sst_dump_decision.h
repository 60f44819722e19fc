// One decision of the tuner as text: what it saw, what it compared, what it did, what came of it.
// The numbers are rounded; the JSON form has all of them, and all their digits.
#ifndef LAMINA_TOOLS_SST_DUMP_DECISION_H_
#define LAMINA_TOOLS_SST_DUMP_DECISION_H_

#include <string>

#include "tuner/decision_record.h"

namespace lamina::sst_dump {

// Several lines, each ended; the last one is empty. Depends on the record alone.
std::string DecisionText(const tuner::DecisionRecord& decision);

}  // namespace lamina::sst_dump

#endif  // LAMINA_TOOLS_SST_DUMP_DECISION_H_
