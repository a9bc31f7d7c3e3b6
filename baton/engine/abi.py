"""What Baton knows of llama.cpp's binary interface: the declarations it uses, typed from the ABI.

They describe build b11548 (commit 781dbc5ac98921dbdb5e5b2ec5b7a50960e937d4), whose interface the
pinned wheel, b11549, shares. Structs are spelled out whole, for their size and order matter; enums
are plain `int`, handles are opaque. A library with another layout would corrupt memory silently, so
`llama.py` compares the symbols, sizes and default values below with what it loaded before it uses
anything.
"""

PACKAGE, PACKAGE_VERSION, BUILD = "xllamacpp", "2026.10.11549", "b11549"

TYPES = """
typedef int32_t llama_pos;
typedef int32_t llama_token;
typedef int32_t llama_seq_id;
typedef struct llama_model llama_model;
typedef struct llama_vocab llama_vocab;
typedef struct llama_context llama_context;
struct llama_memory_i;
typedef struct llama_memory_i * llama_memory_t;
typedef bool (*ggml_abort_callback)(void * data);
typedef void (*ggml_log_callback)(int level, const char * text, void * user_data);
typedef bool (*llama_progress_callback)(float progress, void * user_data);
typedef bool (*ggml_backend_sched_eval_callback)(void * tensor, bool ask, void * user_data);

typedef struct llama_batch {
    int32_t n_tokens;
    llama_token * token;
    float * embd;
    llama_pos * pos;
    int32_t * n_seq_id;
    llama_seq_id ** seq_id;
    int8_t * logits;
} llama_batch;

struct llama_model_params {
    void * devices;
    const void * tensor_buft_overrides;
    int32_t n_gpu_layers;
    int split_mode;
    int load_mode;
    int lazy_mode;
    int32_t main_gpu;
    const float * tensor_split;
    llama_progress_callback progress_callback;
    void * progress_callback_user_data;
    const void * kv_overrides;
    bool vocab_only;
    bool check_tensors;
    bool use_extra_bufts;
    bool no_host;
    bool no_alloc;
    bool load_mtp;
};

struct llama_context_params {
    uint32_t n_ctx;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
    uint32_t n_rs_seq;
    uint32_t n_outputs_max;
    uint32_t n_outputs_max_per_seq;
    int32_t n_threads;
    int32_t n_threads_batch;
    int ctx_type;
    int rope_scaling_type;
    int pooling_type;
    int attention_type;
    int flash_attn_type;
    float rope_freq_base;
    float rope_freq_scale;
    float yarn_ext_factor;
    float yarn_attn_factor;
    float yarn_beta_fast;
    float yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float defrag_thold;
    ggml_backend_sched_eval_callback cb_eval;
    void * cb_eval_user_data;
    int type_k;
    int type_v;
    size_t moe_cache_size;
    ggml_abort_callback abort_callback;
    void * abort_callback_data;
    bool embeddings;
    bool offload_kqv;
    bool no_perf;
    bool op_offload;
    bool swa_full;
    bool kv_unified;
    void * samplers;
    size_t n_samplers;
    llama_context * ctx_other;
};
"""

FUNCTIONS = """
void llama_backend_init(void);
void llama_log_set(ggml_log_callback log_callback, void * user_data);
const char * llama_print_system_info(void);
struct llama_model_params llama_model_default_params(void);
struct llama_context_params llama_context_default_params(void);
llama_model * llama_model_load_from_file(const char * path_model,
    struct llama_model_params params);
void llama_model_free(llama_model * model);
const llama_vocab * llama_model_get_vocab(const llama_model * model);
int32_t llama_model_n_ctx_train(const llama_model * model);
int32_t llama_model_meta_val_str(const llama_model * model, const char * key, char * buf,
    size_t buf_size);
bool llama_model_is_recurrent(const llama_model * model);
bool llama_model_is_hybrid(const llama_model * model);
bool llama_model_has_decoder(const llama_model * model);
bool llama_model_has_encoder(const llama_model * model);
llama_context * llama_init_from_model(llama_model * model,
    struct llama_context_params params);
void llama_free(llama_context * ctx);
uint32_t llama_n_ctx(const llama_context * ctx);
uint32_t llama_n_ctx_seq(const llama_context * ctx);
int32_t llama_vocab_n_tokens(const llama_vocab * vocab);
llama_token llama_vocab_bos(const llama_vocab * vocab);
llama_token llama_vocab_eos(const llama_vocab * vocab);
llama_token llama_vocab_eot(const llama_vocab * vocab);
bool llama_vocab_is_eog(const llama_vocab * vocab, llama_token token);
bool llama_vocab_get_add_bos(const llama_vocab * vocab);
llama_token llama_vocab_fim_pre(const llama_vocab * vocab);
llama_token llama_vocab_fim_suf(const llama_vocab * vocab);
llama_token llama_vocab_fim_mid(const llama_vocab * vocab);
llama_token llama_vocab_fim_pad(const llama_vocab * vocab);
llama_token llama_vocab_fim_rep(const llama_vocab * vocab);
llama_token llama_vocab_fim_sep(const llama_vocab * vocab);
int32_t llama_tokenize(const llama_vocab * vocab, const char * text, int32_t text_len,
    llama_token * tokens, int32_t n_tokens_max, bool add_special, bool parse_special);
int32_t llama_token_to_piece(const llama_vocab * vocab, llama_token token, char * buf,
    int32_t length, int32_t lstrip, bool special);
int32_t llama_detokenize(const llama_vocab * vocab, const llama_token * tokens, int32_t n_tokens,
    char * text, int32_t text_len_max, bool remove_special, bool unparse_special);
llama_memory_t llama_get_memory(const llama_context * ctx);
bool llama_memory_seq_rm(llama_memory_t mem, llama_seq_id seq_id, llama_pos p0, llama_pos p1);
void llama_memory_seq_cp(llama_memory_t mem, llama_seq_id seq_id_src, llama_seq_id seq_id_dst,
    llama_pos p0, llama_pos p1);
size_t llama_state_seq_get_size(llama_context * ctx, llama_seq_id seq_id);
size_t llama_state_seq_get_data(llama_context * ctx, uint8_t * dst, size_t size,
    llama_seq_id seq_id);
size_t llama_state_seq_set_data(llama_context * ctx, const uint8_t * src, size_t size,
    llama_seq_id dest_seq_id);
void llama_set_n_threads(llama_context * ctx, int32_t n_threads, int32_t n_threads_batch);
int32_t llama_decode(llama_context * ctx, llama_batch batch);
void llama_synchronize(llama_context * ctx);
float * llama_get_logits(llama_context * ctx);
void llama_set_abort_callback(llama_context * ctx, ggml_abort_callback abort_callback,
    void * abort_callback_data);
"""

NEEDED = tuple(
    line.split("(")[0].split()[-1].lstrip("*")
    for line in FUNCTIONS.splitlines()
    if line.startswith(
        ("void", "const", "struct", "llama_", "int32_t", "uint32_t", "size_t", "bool", "float")
    )
)
"""Every function that is called; a library that lacks one is refused."""

SIZES_BYTES = {
    "struct llama_model_params": 80,
    "struct llama_context_params": 168,
    "llama_batch": 56,
}
"""They come from the declarations above, so they guard those against slips, not the library."""

MODEL_DEFAULTS: dict[str, float | bool] = {
    "n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1, "main_gpu": 0,
    "vocab_only": False, "check_tensors": False, "use_extra_bufts": True, "no_host": False,
    "no_alloc": False, "load_mtp": False,
}  # fmt: skip
CONTEXT_DEFAULTS: dict[str, float | bool] = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_outputs_max": 0,
    "n_outputs_max_per_seq": 1, "n_threads": 4, "n_threads_batch": 4, "rope_scaling_type": -1,
    "flash_attn_type": -1, "rope_freq_base": 0.0, "yarn_ext_factor": -1.0, "yarn_attn_factor": -1.0,
    "yarn_beta_fast": -1.0, "yarn_beta_slow": -1.0, "defrag_thold": -1.0, "type_k": 1, "type_v": 1,
    "embeddings": False, "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True,
    "kv_unified": False, "n_samplers": 0,
}  # fmt: skip
"""Values that the library itself answers: a field that moved shows up here."""
