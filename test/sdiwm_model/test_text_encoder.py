import os
import subprocess
import sys

import numpy as np
import pytest

from sdiwm_model import text_encoder
from sdiwm_model.errors import SdiwmError
from sdiwm_model.text_encoder import ENVIRONMENT, PACKAGE, TextEncoder, find_text_encoder


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder()


def test_a_sentence_becomes_masked_token_embeddings(encoder):
    tokens, mask = encoder.encode(["touch the red target", "red"])
    assert tokens.shape == (2, 6, encoder.width) == (2, 6, 384)
    assert tokens.dtype == np.float32
    assert mask.sum(axis=1).tolist() == [6, 3]
    assert not tokens[~mask].any()


def test_long_sentences_are_cut_at_32_tokens(encoder):
    tokens, mask = encoder.encode(["touch the red target " * 30])
    assert tokens.shape[1] == 32
    assert mask.all()


def test_batches_and_case_do_not_change_an_embedding(encoder):
    sentences = ["touch the red target", "red", "not the blue one, the green one"]
    many = encoder.encode_many([s.upper() for s in sentences])
    for sentence, embedded in zip(sentences, many, strict=True):
        tokens, _ = encoder.encode([sentence])
        assert np.allclose(tokens[0], embedded, atol=1e-4)


def test_embeddings_are_the_hidden_states_of_transformers_own_encoder(encoder):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AutoModel.from_pretrained(encoder.folder).eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(encoder.folder)
    sentence = "please touch the crimson disc, not the azure one"
    with torch.no_grad():
        inputs = tokeniser(sentence, return_tensors="pt")
        expected = model(**inputs, output_hidden_states=True).hidden_states[-2]
    assert np.allclose(encoder.encode([sentence])[0], expected.numpy(), atol=1e-4)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr(text_encoder, "MODULE", "no_such_module_anywhere")
    with pytest.raises(SdiwmError, match=f"pip install {PACKAGE}.*--text-encoder"):
        find_text_encoder()


def test_a_local_path_may_come_from_the_environment_and_must_be_an_encoder(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    with pytest.raises(SdiwmError, match="has no config.json"):
        find_text_encoder()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never unpickled")
    with pytest.raises(SdiwmError, match="no \\*.safetensors"):
        find_text_encoder()


def test_a_t5_encoder_by_local_path_works_like_the_default(monkeypatch, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(tmp_path / "t5")
    write_tokeniser(tmp_path / "t5" / "tokenizer.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder = TextEncoder(tmp_path / "t5")
    tokens, mask = encoder.encode(["touch red", "touch"])
    assert tokens.shape == (2, 2, 16)
    assert mask.sum() == 3
    assert encoder.describe()["name"] == "t5"
    assert [p.suffix for p in encoder.graph.parent.iterdir()] == [".onnx"]


def write_tokeniser(path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "touch", "red"])}
    tokeniser = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokeniser.pre_tokenizer = pre_tokenizers.Whitespace()
    tokeniser.save(str(path))


def test_without_torch_an_unexported_encoder_says_what_to_do(tmp_path):
    source = (
        "import sys; sys.modules['torch'] = None\n"
        "from sdiwm_model.text_encoder import TextEncoder; TextEncoder()"
    )
    result = subprocess.run(
        [sys.executable, "-c", source],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "python -m sdiwm_model.text_encoder" in result.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*.onnx"))
