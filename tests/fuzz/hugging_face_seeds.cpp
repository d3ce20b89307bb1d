// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/seeds.h"

namespace lowrank::testing {

std::vector<std::string> seeds() {
  return {
      R"({"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 30, "hidden_size": 8,
 "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "hidden_act": "gelu",
 "max_position_embeddings": 32, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
 "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "transformers_version": "4.57.6"})",
      R"({"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"], "vocab_size": 30,
 "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
 "max_position_embeddings": 34, "type_vocab_size": 1, "pad_token_id": 1,
 "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}})",
      R"({"model_type": "nystromformer", "architectures": ["NystromformerForQuestionAnswering"],
 "vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
 "intermediate_size": 16, "hidden_act": "gelu_new", "max_position_embeddings": 64,
 "segment_means_seq_len": 64, "num_landmarks": 8, "conv_kernel_size": 65, "inv_coeff_init_option": false})"};
}

}  // namespace lowrank::testing
