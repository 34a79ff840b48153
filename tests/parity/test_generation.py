"""Token for token as transformers generates with the same weights; the same distribution after each filter.

Random weights in fp64, wide enough that sequences differ and some of them end early; prompts of unlike length in one
batch. The token of padding is not 0: transformers' beam search would put the first end token in its place.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers.generation import logits_process  # noqa: E402

from tonne.model import from_huggingface, generate  # noqa: E402
from tonne.model.beam import Beam  # noqa: E402
from tonne.model.sampling import Greedy, Sampling, filtered  # noqa: E402

transformers.logging.set_verbosity_error()
VOCABULARY, PAD, START, ENDS = 41, 1, 2, [3, 11, 17, 23, 29]
BATCH, PROMPT, NEW = 5, 7, 12
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
}
TOKENS = {"bos_token_id": START, "eos_token_id": ENDS, "pad_token_id": PAD}
BART = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "forced_eos_token_id": None,  # transformers would put it last, whatever is most probable
}
T5 = {"vocab_size": VOCABULARY, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 48, "num_layers": 2}
FAMILIES = {
    "gpt2": (
        "GPT2LMHeadModel",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64},
    ),
    "llama": ("LlamaForCausalLM", SMALL),
    "mistral": ("MistralForCausalLM", {**SMALL, "sliding_window": 6}),
    "qwen2": ("Qwen2ForCausalLM", SMALL),
    "bart": ("BartForConditionalGeneration", BART),
    "t5": ("T5ForConditionalGeneration", T5),
}
STRATEGIES = {
    "greedy": (Greedy(), {}),
    "beam": (Beam(size=3), {"num_beams": 3}),
    "long beam": (Beam(size=4, length_penalty=2.5), {"num_beams": 4, "length_penalty": 2.5}),
    "short beam": (Beam(size=4, length_penalty=-1.0), {"num_beams": 4, "length_penalty": -1.0}),
    "no penalty": (Beam(size=4, length_penalty=0.0), {"num_beams": 4, "length_penalty": 0.0}),
    "early": (Beam(size=3, early_stopping=True), {"num_beams": 3, "early_stopping": True}),
    "never": (
        Beam(size=3, length_penalty=1.5, early_stopping="never"),
        {"num_beams": 3, "length_penalty": 1.5, "early_stopping": "never"},
    ),
    "never, short": (
        Beam(size=3, length_penalty=-0.5, early_stopping="never"),
        {"num_beams": 3, "length_penalty": -0.5, "early_stopping": "never"},
    ),
    "seeded": (Sampling(seed=3), {"do_sample": True, "top_k": 0}),
    "filtered": (
        Sampling(temperature=0.7, top_k=9, top_p=0.8, seed=3),
        {"do_sample": True, "temperature": 0.7, "top_k": 9, "top_p": 0.8},
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    """A model of transformers with random weights, and ours read from where it was saved."""
    folder = tmp_path_factory.mktemp(request.param)
    name, fields = FAMILIES[request.param]
    torch.manual_seed(5)
    config = transformers.CONFIG_MAPPING[request.param](**fields, **TOKENS, decoder_start_token_id=START)
    theirs = getattr(transformers, name)(config).double().eval()
    for parameter in theirs.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    theirs.save_pretrained(folder)
    return theirs, from_huggingface(folder)


def prompts(side="left"):
    """Tokens and mask, padding on one side: a source is padded on the right, for BART counts padding as positions."""
    torch.manual_seed(7)
    tokens = torch.randint(4, VOCABULARY, (BATCH, PROMPT))
    mask = torch.ones_like(tokens)
    for row, padding in enumerate((0, 3, 6, 1, 0)):
        tokens[row, :padding], mask[row, :padding] = PAD, 0
        if side == "right":
            tokens[row], mask[row] = tokens[row].roll(-padding), mask[row].roll(-padding)
    return tokens, mask


def generated(theirs, tokens, mask, fields):
    config = transformers.GenerationConfig(
        **TOKENS, max_new_tokens=NEW, decoder_start_token_id=START, use_cache=True, **fields
    )
    torch.manual_seed(3)
    return theirs.generate(tokens, attention_mask=mask, generation_config=config)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_token_for_token_as_transformers(pair, strategy):
    theirs, ours = pair
    chosen, fields = STRATEGIES[strategy]
    tokens, mask = prompts("right" if theirs.config.is_encoder_decoder else "left")
    expected = generated(theirs, tokens, mask, fields)
    options = {"max_new_tokens": NEW, "strategy": chosen, "stop_tokens": ENDS, "pad_token": PAD}
    if theirs.config.is_encoder_decoder:
        start = torch.full((BATCH, 1), START)
        made = generate(ours, start, source=tokens, source_mask=mask, **options)
    else:
        made = generate(ours, tokens, mask, **options)
    assert torch.equal(made, expected)
    assert len({tuple(row) for row in made.tolist()}) > 1


@pytest.mark.slow
def test_ends_differ_within_a_batch(pair):
    theirs, _ = pair
    made = generated(theirs, *prompts("right" if theirs.config.is_encoder_decoder else "left"), {})
    assert (made[:, -1] == PAD).any() or made.shape[1] < PROMPT + NEW  # else the tests above would see no end


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_padding_on_either_side_gives_the_same_tokens(pair, strategy):
    theirs, ours = pair
    if theirs.config.is_encoder_decoder:
        pytest.skip("its prompt is one token")
    chosen, fields = STRATEGIES[strategy]
    tokens, mask = prompts()
    expected = generated(theirs, tokens, mask, fields)
    for row, padding in enumerate((0, 3, 6, 0, 0)):  # all but the fourth move to the left
        tokens[row], mask[row] = tokens[row].roll(-padding), mask[row].roll(-padding)
    options = {"max_new_tokens": NEW, "strategy": chosen, "stop_tokens": ENDS, "pad_token": PAD}
    assert torch.equal(generate(ours, tokens, mask, **options), expected)


@pytest.mark.slow
def test_a_first_token_that_is_forced_is_part_of_the_start(pair):
    theirs, ours = pair
    if not theirs.config.is_encoder_decoder:
        pytest.skip("it has no start of its own")
    tokens, mask = prompts("right")
    expected = generated(theirs, tokens, mask, {"forced_bos_token_id": 5})
    start = torch.tensor([[START, 5]]).expand(BATCH, 2)
    options = {"max_new_tokens": NEW - 1, "stop_tokens": ENDS, "pad_token": PAD}
    assert torch.equal(generate(ours, start, source=tokens, source_mask=mask, **options), expected)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_text_of_the_command_is_what_transformers_makes_of_the_prompt(family, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    from typer.testing import CliRunner

    from tonne.cli.main import app

    words = [f"w{i}" for i in range(VOCABULARY - 4)]
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<pad>", "<s>", "</s>", *words])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **named)
    name, fields = FAMILIES[family]
    torch.manual_seed(6)
    config = transformers.CONFIG_MAPPING[family](**fields, **TOKENS, decoder_start_token_id=START)
    theirs = getattr(transformers, name)(config).eval()
    for parameter in theirs.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    prompt = "w3 w14 w15 w9 w2"
    encoded = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    made = theirs.generate(**encoded, max_new_tokens=NEW, do_sample=False)[0]
    new = made[1 if theirs.config.is_encoder_decoder else encoded["input_ids"].shape[1] :].tolist()
    stop = next((i for i, token in enumerate(new) if token in ENDS), len(new))
    done = CliRunner().invoke(app, ["generate", str(tmp_path), "--prompt", prompt, "--max-new-tokens", str(NEW)])
    assert done.exit_code == 0, done.stderr
    assert done.stdout == tokenizer.decode(new[:stop], skip_special_tokens=True) + "\n"


SCORES = {"wide": 3.0, "narrow": 0.1}


@pytest.mark.parametrize("spread", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize(
    ("sampling", "processors"),
    [
        (Sampling(temperature=0.6), lambda p: [p.TemperatureLogitsWarper(0.6)]),
        (Sampling(top_k=5), lambda p: [p.TopKLogitsWarper(5)]),
        (Sampling(top_k=1000), lambda p: [p.TopKLogitsWarper(1000)]),
        (Sampling(top_p=0.9), lambda p: [p.TopPLogitsWarper(0.9)]),
        (Sampling(top_p=0.01), lambda p: [p.TopPLogitsWarper(0.01)]),
        (Sampling(top_p=1.0), lambda p: []),
        (
            Sampling(temperature=1.7, top_k=20, top_p=0.5),
            lambda p: [p.TemperatureLogitsWarper(1.7), p.TopKLogitsWarper(20), p.TopPLogitsWarper(0.5)],
        ),
    ],
)
def test_distribution_after_each_filter_is_that_of_transformers(sampling, processors, spread):
    torch.manual_seed(0)
    scores = torch.randn(64, 200) * spread
    expected = scores
    for processor in processors(logits_process):
        expected = processor(None, expected)
    torch.testing.assert_close(filtered(scores, sampling).softmax(-1), expected.softmax(-1), rtol=0, atol=0)
