"""Folders, vectors, losses and metrics of sentence-transformers 5.7 on tiny models.

    python tests/oracles/sentence_transformers_folders.py

writes golden/sentence_transformers_folders/{bert,roberta,llama}/: a BERT with mean pooling, normalisation and prompts, a RoBERTa with the
first token's state, normalisation and a prompt by default, and a Llama with the last token's state; and
golden/sentence_transformers_folders/cases.json: texts with their vectors, losses with the gradients of the token table and of a matrix of
the last block, and retrieval metrics of InformationRetrievalEvaluator with Spearman's correlation of EmbeddingSimilarityEvaluator.

    deno run -A tests/oracles/sentence_transformers_written.ts FOLDER
    python tests/oracles/sentence_transformers_folders.py --check FOLDER

loads what we wrote and prints how far its vectors are from those above.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer, models
from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator, InformationRetrievalEvaluator
from sentence_transformers.losses import (
    CoSENTLoss, MultipleNegativesRankingLoss, MultipleNegativesSymmetricRankingLoss, TripletLoss)
from tokenizers import Tokenizer, models as token_models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

OUT = Path(__file__).parent / "golden" / "sentence_transformers_folders"
if sys.argv[1:2] == ["--check"]:
    wanted = json.loads((OUT / "cases.json").read_text())
    for name in ("bert", "roberta", "llama"):
        found = SentenceTransformer(str(Path(sys.argv[2]) / name), device="cpu").encode(wanted["texts"])
        print(name, abs(torch.tensor(found) - torch.tensor(wanted["vectors"][name])).max().item())
    sys.exit()
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
WORDS = "[PAD] [CLS] [SEP] [UNK] where is my parcel it late the train to lyon a query : bread good cat dog sun sea map tea red blue".split()
TEXTS = ["where is my parcel", "it is late", "the train to lyon is late", "a red cat", "tea", "blue sea map sun bread good dog the a it"]
QUERIES = ["cat dog", "sun sea", "good bread", "where is the train"]
CORPUS = ["a dog", "the blue sea", "bread to a cat", "a train to lyon", "red map", "tea is good", "my parcel"]
PAIRS = [("where is my parcel", "my parcel is late"), ("a red cat", "a dog"), ("sun", "blue sea")]
NEGATIVES = ["tea", "good bread", "the train"]
SCORES = [0.9, 0.2, 0.5]


def tokenizer(template):
    words = Tokenizer(token_models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single=template, pair="$A $B", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", eos_token="[SEP]")


def made(name, model, template, pooling, normalize, **more):
    torch.manual_seed(7)
    for p in model.parameters():
        p.data.normal_(0, 0.3)
    base = OUT / f"{name}_base"
    model.save_pretrained(base)
    tokenizer(template).save_pretrained(base)
    transformer = models.Transformer(str(base), max_seq_length=9)
    parts = [transformer, models.Pooling(transformer.get_word_embedding_dimension(), pooling_mode=pooling)]
    whole = SentenceTransformer(modules=parts + ([models.Normalize()] if normalize else []), device="cpu", **more)
    shutil.rmtree(base)
    whole.save(str(OUT / name), create_model_card=False)
    return SentenceTransformer(str(OUT / name), device="cpu").eval()


bert = made("bert", BertModel(BertConfig(
    vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)),
    "[CLS] $A [SEP]", "mean", True, prompts={"query": "query: ", "document": ""}, default_prompt_name=None)
roberta = made("roberta", RobertaModel(RobertaConfig(
    vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=16, type_vocab_size=1, pad_token_id=0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)),
    "[CLS] $A [SEP]", "cls", True, prompts={"query": "query: ", "document": "a "}, default_prompt_name="document")
llama = made("llama", LlamaModel(LlamaConfig(
    vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=24,
    max_position_embeddings=32, pad_token_id=0)), "$A [SEP]", "lasttoken", False)

vectors = {
    "bert": bert.encode(TEXTS).tolist(),
    "bert_query": bert.encode(TEXTS, prompt_name="query").tolist(),
    "roberta": roberta.encode(TEXTS).tolist(),
    "roberta_query": roberta.encode(TEXTS, prompt_name="query").tolist(),
    "llama": llama.encode(TEXTS).tolist(),
}
losses = []


def loss(name, make, columns, labels=None, model=bert, of="bert"):
    model.zero_grad()
    made_loss = make(model)
    features = [model.tokenize(list(column)) for column in columns]
    value = made_loss(features, labels)
    value.backward()
    inner = model[0].auto_model
    table, last = (
        (inner.embeddings.word_embeddings, inner.encoder.layer[-1].output.dense) if of == "bert"
        else (inner.embed_tokens, inner.layers[-1].mlp.down_proj))
    losses.append({
        "name": name, "model": of, "loss": value.item(), "gradient": table.weight.grad.flatten().tolist(),
        "last": last.weight.grad.flatten().tolist()})


anchors, positives = zip(*PAIRS)
loss("ranking", MultipleNegativesRankingLoss, [anchors, positives])
loss("ranking_negatives", MultipleNegativesRankingLoss, [anchors, positives, NEGATIVES])
loss("symmetric", MultipleNegativesSymmetricRankingLoss, [anchors, positives])
loss("cosent", CoSENTLoss, [anchors, positives], torch.tensor(SCORES))
loss("triplet", TripletLoss, [anchors, positives, NEGATIVES])
loss("ranking_llama", MultipleNegativesRankingLoss, [anchors, positives, NEGATIVES], model=llama, of="llama")
loss("triplet_llama", TripletLoss, [anchors, positives, NEGATIVES], model=llama, of="llama")

relevant = {"0": {"0", "2"}, "1": {"1"}, "2": {"2", "5"}, "3": {"3"}}
retrieval = InformationRetrievalEvaluator(
    {str(i): q for i, q in enumerate(QUERIES)}, {str(i): d for i, d in enumerate(CORPUS)}, relevant,
    mrr_at_k=[10], ndcg_at_k=[10], accuracy_at_k=[1, 3], precision_recall_at_k=[1, 3], map_at_k=[10])(bert)
similarity = EmbeddingSimilarityEvaluator(anchors, positives, SCORES)(bert)
(OUT / "cases.json").write_text(json.dumps({
    "texts": TEXTS, "vectors": vectors, "pairs": PAIRS, "negatives": NEGATIVES, "scores": SCORES, "losses": losses,
    "queries": QUERIES, "corpus": CORPUS, "relevant": {key: sorted(map(int, found)) for key, found in relevant.items()},
    "retrieval": {key: value for key, value in retrieval.items() if "cosine" in key}, "spearman": similarity["spearman_cosine"],
}))
print(retrieval, similarity)
