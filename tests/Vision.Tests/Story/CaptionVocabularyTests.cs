using Microsoft.ML.Attention.Vision;

namespace Vision.Tests.Story;

public sealed class CaptionVocabularyTests
{
    private static readonly string[] Captions = ["a cat on a mat", "A cat's hat, a cat", "the rat sat"];

    [Fact]
    public void MergesTheMostFrequentPairFirst()
    {
        // By hand: "at</w>" is in cat (three times), mat, hat, rat and sat; then "cat</w>".
        var tokenizer = CaptionVocabulary.Learn(Captions, mergeCount: 2);
        Assert.Equal(512 + 2 + 2, tokenizer.Vocabulary.Count);
        var at = tokenizer.Vocabulary["at</w>"];
        Assert.Equal((512, 513), (at, tokenizer.Vocabulary["cat</w>"]));
        Assert.Equal([tokenizer.Vocabulary["cat</w>"], tokenizer.Vocabulary["b"], at], tokenizer.Tokenize("CAT bat"));
    }

    [Fact]
    public void EndsWhereNoPairOccursTwice() =>
        Assert.Equal(512 + 1 + 2, CaptionVocabulary.Learn(["ab ab cd"], mergeCount: 100).Vocabulary.Count);

    [Fact]
    public void FrequentWordsBecomeOneToken()
    {
        var tokenizer = CaptionVocabulary.Learn(Captions, mergeCount: 100);
        Assert.Single(tokenizer.Tokenize("cat"));
        Assert.Equal(3, tokenizer.Tokenize("xyz").Count);
    }

    [Fact]
    public void WhatIsSavedIsRead()
    {
        var folder = Directory.CreateTempSubdirectory().FullName;
        var tokenizer = CaptionVocabulary.Learn([.. Captions, "\"zu süß\" süß"], mergeCount: 20);
        tokenizer.Save(folder);
        var read = ClipTokenizer.Load(folder);
        Assert.Equal(tokenizer.Vocabulary.Count, read.Vocabulary.Count);
        Assert.Equal(tokenizer.Tokenize("the cat sat; a süß hat"), read.Tokenize("the cat sat; a süß hat"));
        Directory.Delete(folder, recursive: true);
    }
}
