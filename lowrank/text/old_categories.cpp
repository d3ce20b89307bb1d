// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/old_categories.h"

#include <algorithm>
#include <iterator>

namespace lowrank::text {
namespace {

// Characters whose category changed later.
struct Change {
  UChar32 code;
  uint32_t before;
  UnicodeVersion last;  // version that had it
};
constexpr Change kChanges[] = {
    {0x166D, U_GC_PO_MASK, UnicodeVersion::k9}, {0x1734, U_GC_MN_MASK, UnicodeVersion::k9},
    {0x1885, U_GC_LO_MASK, UnicodeVersion::k8}, {0x1886, U_GC_LO_MASK, UnicodeVersion::k8},
    {0x1CF2, U_GC_MC_MASK, UnicodeVersion::k9}, {0x1CF3, U_GC_MC_MASK, UnicodeVersion::k9},
    {0xA9BD, U_GC_MC_MASK, UnicodeVersion::k9}, {0x111C9, U_GC_PO_MASK, UnicodeVersion::k9}};

}  // namespace

bool had_category(UChar32 code, uint32_t mask, UnicodeVersion version) {
  if (code < 0) return false;
  if (code < 0x250) return (U_GET_GC_MASK(code) & mask) != 0;  // all older, and unchanged
  const auto* change = std::find_if(
      std::begin(kChanges), std::end(kChanges),
      [&](const Change& candidate) { return candidate.code == code && candidate.last >= version; });
  if (change != std::end(kChanges)) return (change->before & mask) != 0;
  UVersionInfo since;
  u_charAge(code, since);
  return since[0] <= static_cast<uint8_t>(version) && (U_GET_GC_MASK(code) & mask) != 0;
}

}  // namespace lowrank::text
