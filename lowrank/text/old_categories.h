// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unicode/uchar.h>

#include <cstdint>

namespace lowrank::text {

// Hugging Face's tokenizers know Unicode as it was: BERT's rules by version 8 and the removal of
// accents by version 9. Vocabularies were made with that, so later characters count as unassigned.
enum class UnicodeVersion : uint8_t { k8 = 8, k9 = 9 };

// Whether a character had one of the categories (a mask as ICU writes it) in that version.
bool had_category(UChar32 code, uint32_t mask, UnicodeVersion version);

}  // namespace lowrank::text
