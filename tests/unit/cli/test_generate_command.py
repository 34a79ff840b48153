"""`tonne generate`, as somebody with a folder and a prompt calls it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tonne.cli.main import app
from tonne.describe.architecture import Architecture

torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")
from tokenizers import decoders, models, pre_tokenizers  # noqa: E402

from tonne.model import Transformer, to_huggingface  # noqa: E402

pytestmark = pytest.mark.slow  # a model is made for every test

PROMPT, END, POSITIONS = "Once upon a time", "<end>", 64
SHAPE = {"width": 16, "heads": 2, "max_positions": POSITIONS, "tied_embeddings": True}
GPT2 = {
    "kind": "decoder",
    "layers": 2,
    "positions": "learned",
    "norm_position": "pre",
    **SHAPE,
}
BART = {
    "kind": "encoder-decoder",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "positions": "learned",
    "position_offset": 2,
    "norm_position": "post",
    "embedding_norm": True,
    **SHAPE,
}
BERT = {
    "kind": "encoder",
    "layers": 1,
    "positions": "learned",
    "norm_position": "post",
    "embedding_norm": True,
    "token_types": 2,
    "pooler": True,
    **SHAPE,
}


def byte_level():
    """A token a byte, and one that ends a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens([END])
    return made


def saved(fields, folder, **ids):
    """A folder with a model of random weights; what config.json says of tokens may be changed."""
    tokenizer = byte_level()
    torch.manual_seed(1)
    model = Transformer(Architecture(vocabulary=tokenizer.get_vocab_size(), **fields))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    to_huggingface(model, folder, tokenizer=tokenizer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **ids}))
    return model.eval()


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    return folder, saved(GPT2, folder, eos_token_id=256)


def called(*arguments, **more):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)], **more)


def most_probable_tokens(model, prompt, count, **more):
    """The whole sequence anew for each."""
    tokens = torch.tensor([prompt])
    for _ in range(count):
        tokens = torch.cat([tokens, model.logits(tokens, **more)[:, -1:].argmax(-1)], 1)
    return tokens[0, len(prompt) :].tolist()


def most_probable(*given, **more):
    """Their text."""
    return byte_level().decode(most_probable_tokens(*given, **more))


def error_of(*arguments, **more):
    done = called(*arguments, **more)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_prompt_in_text_out(gpt2):
    folder, model = gpt2
    done = called(folder, "--prompt", PROMPT, "--max-new-tokens", 20)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == most_probable(model, byte_level().encode(PROMPT).ids, 20) + "\n"
    assert re.fullmatch(
        r"20 new tokens after 16 of the prompt; ended by length; greedy; [\d.]+ s, [\d,]+ tokens/s\n", done.stderr
    )


def test_text_from_a_file_and_from_standard_input_and_through_a_pipe(gpt2, tmp_path):
    folder, _ = gpt2
    expected = called(folder, "--prompt", PROMPT).stdout
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT + "\n", encoding="utf-8")
    assert called(folder, "--file", file).stdout == expected
    assert called(folder, input=PROMPT + "\r\n").stdout == expected
    code = "from tonne.cli.main import run; run()"
    command = [sys.executable, "-c", code, "generate", str(folder)]
    done = subprocess.run(command, input=PROMPT.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == expected
    assert done.stderr.decode().count("\n") == 1


def test_one_document(gpt2):
    folder, model = gpt2
    done = called(folder, "--prompt", PROMPT, "--max-new-tokens", 5, "--json")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document.pop("duration_s") > 0
    assert document == {
        "schema_version": "1",
        "model": str(folder),
        "prompt": PROMPT,
        "text": most_probable(model, byte_level().encode(PROMPT).ids, 5),
        "prompt_tokens": 16,
        "new_tokens": 5,
        "ended": "length",
        "strategy": {"kind": "greedy"},
    }


def test_a_draw_can_be_had_again_from_the_seed_that_is_told(gpt2):
    folder, _ = gpt2
    options = ("--prompt", PROMPT, "--max-new-tokens", 30, "--temperature", 0.9, "--top-k", 50, "--top-p", 0.95)
    first = json.loads(called(folder, *options, "--json").stdout)
    seed = first["strategy"]["seed"]
    assert first["strategy"] == {"kind": "sampling", "temperature": 0.9, "top_k": 50, "top_p": 0.95, "seed": seed}
    again = called(folder, *options, "--seed", seed)
    assert again.stdout == first["text"] + "\n"
    assert f"; sampling, seed {seed}; " in again.stderr
    assert called(folder, *options, "--seed", seed + 1).stdout != again.stdout


def test_beams(gpt2):
    folder, _ = gpt2
    options = ("--prompt", PROMPT, "--max-new-tokens", 8, "--beams", 3, "--length-penalty", 0.5)
    done, document = called(folder, *options), json.loads(called(folder, *options, "--json").stdout)
    assert done.stdout == document["text"] + "\n"
    assert document["strategy"] == {"kind": "beam", "size": 3, "length_penalty": 0.5, "early_stopping": False}


def test_a_text_ends_before_a_stop(gpt2):
    folder, model = gpt2
    whole = most_probable(model, byte_level().encode(PROMPT).ids, 20)
    stop = whole[4:6]
    document = json.loads(called(folder, "--prompt", PROMPT, "--stop", stop, "--stop", "never there", "--json").stdout)
    assert document["text"] == whole[: whole.index(stop)]
    assert document["ended"] == "stop text"


def test_a_text_ends_at_the_models_own_end(gpt2, tmp_path):
    folder, model = gpt2
    tokens = most_probable_tokens(model, byte_level().encode(PROMPT).ids, 20)
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "generation_config.json").write_text(json.dumps({"eos_token_id": [256, tokens[3]]}))
    document = json.loads(called(tmp_path / "copy", "--prompt", PROMPT, "--json").stdout)
    end = tokens.index(tokens[3])
    assert document["new_tokens"] == end + 1
    assert document["text"] == byte_level().decode(tokens[:end])
    assert document["ended"] == "stop token"


def test_without_a_number_as_many_tokens_as_there_are_positions(gpt2):
    folder, _ = gpt2
    document = json.loads(called(folder, "--prompt", "x" * 60, "--json").stdout)
    assert document["new_tokens"] == POSITIONS + 1 - 60  # the last one is not read again


def test_an_encoder_decoder_reads_the_prompt_as_its_source(tmp_path):
    model = saved(BART, tmp_path, decoder_start_token_id=7, eos_token_id=256)
    done = called(tmp_path, "--prompt", PROMPT, "--max-new-tokens", 9)
    source = torch.tensor([byte_level().encode(PROMPT).ids])
    assert done.stdout == most_probable(model, [7], 9, source=source) + "\n"


def test_an_empty_prompt_begins_with_the_start_token_or_is_refused(gpt2, tmp_path):
    folder, model = gpt2
    assert "the prompt is empty, and the model has no start token. Give a prompt" in error_of(folder, input="")
    saved(GPT2, tmp_path, bos_token_id=256)
    assert called(tmp_path, "--prompt", "", "--max-new-tokens", 4).stdout == most_probable(model, [256], 4) + "\n"


def test_a_folder_that_is_none_is_named(tmp_path):
    assert f"{tmp_path / 'absent'} does not exist" in error_of(tmp_path / "absent", "--prompt", PROMPT)
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is a file" in error_of(tmp_path / "file", "--prompt", PROMPT)
    assert "config.json" in error_of(tmp_path, "--prompt", PROMPT)


def test_a_folder_without_tokenizer_or_with_a_broken_or_a_foreign_one(gpt2, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(gpt2[0], folder)
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json is no tokenizer: " in error_of(folder, "--prompt", PROMPT)
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json, so text cannot become tokens. Save" in error_of(folder, "--prompt", PROMPT)
    other = byte_level()
    other.add_tokens(["Once"])
    (folder / "tokenizer.json").write_text(other.to_str())
    assert "gives token 257, but the model knows 257 tokens" in error_of(folder, "--prompt", PROMPT)


def test_an_encoder_is_refused_before_its_weights_are_read(tmp_path):
    saved(BERT, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert "holds an encoder: it sees all tokens at once and continues none" in error_of(tmp_path, "--prompt", PROMPT)


def test_more_tokens_than_positions_are_refused(gpt2):
    text = error_of(gpt2[0], "--prompt", "x" * 65)
    assert "the prompt of 65 tokens is longer than the 64 positions of the model. Shorten it." in text
    text = error_of(gpt2[0], "--prompt", "x" * 60, "--max-new-tokens", 6)
    assert "60 tokens and max_new_tokens=6 need 65 positions, but the model has 64. Take max_new_tokens=5" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--prompt", "a", "--file", "b"], "--prompt and --file were both given. Give one of them."),
        (["--file", "absent.txt"], "--file absent.txt does not exist or is no file. Give a text file"),
        (["--prompt", "a", "--beams", "2", "--top-k", "3"], "--beams searches, --top-k draws at random: give one"),
        (["--prompt", "a", "--length-penalty", "2"], "--length-penalty has a meaning with --beams only"),
        (["--prompt", "a", "--temperature", "0"], "temperature=0.0. Give a number above 0"),
        (["--prompt", "a", "--top-p", "2"], "top_p=2.0. Give a probability"),
        (["--prompt", "a", "--beams", "0"], "size=0. Give a beam of 1 or more"),
        (["--prompt", "a", "--max-new-tokens", "0"], "max_new_tokens=0. Give 1 or more"),
        (["--prompt", "a", "--stop", ""], "--stop is empty. Give a text"),
    ],
)
def test_options_that_cannot_be_are_said(gpt2, options, text):
    assert text in error_of(gpt2[0], *options)


def test_a_prompt_that_is_no_text_is_said(gpt2, tmp_path):
    file = tmp_path / "picture"
    file.write_bytes(b"\xff\xd8\xff")
    assert f"--file {file} is not UTF-8 text" in error_of(gpt2[0], "--file", file)
    assert "standard input is not UTF-8 text" in error_of(gpt2[0], input=b"\xff\xd8")


def test_without_torch_the_extra_is_named(gpt2):
    code = "import sys; sys.modules['torch'] = None; from tonne.cli.main import run; run()"
    command = [sys.executable, "-c", code, "generate", str(gpt2[0]), "--prompt", PROMPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: tonne generate needs torch. Run: pip install 'tonne[train]'\n"
