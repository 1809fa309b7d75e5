using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;

namespace GenerateStory.Stories;

/// <summary>Tells stories in pictures with the sample's model, with consistent self-attention and without.</summary>
internal sealed class Storyteller : IDisposable
{
    private readonly StoryGenerator _consistent, _separate;

    /// <param name="model">The folder of the model.</param>
    /// <param name="provider">Where it runs.</param>
    /// <param name="seed">What noise is drawn from.</param>
    /// <param name="stepCount">The number of steps of denoising.</param>
    public Storyteller(string model, ExecutionProvider provider, long seed, int stepCount = DefaultStepCount)
    {
        var context = new MLContext(seed: 1);
        var options = new StoryOptions
        {
            Seed = seed,
            StepCount = stepCount,
            Guidance = 3,
            Consistency = StoryConsistency.Dense,
            TokenShares = [1],
            IdentityCount = 1,
            FreeU = false,
            Layout = StoryLayout.Classic,
        };
        var scoring = new ScoringOptions { BatchSize = 8, Session = new() { ExecutionProvider = provider } };
        _consistent = new(context, model, options, scoring);
        _separate = new(context, model, options with { Consistency = StoryConsistency.None }, scoring);
    }

    /// <summary>Steps that are enough.</summary>
    public const int DefaultStepCount = 25;

    /// <summary>Tells a story whose character stays the same.</summary>
    public Story TellConsistently(StoryText text) => _consistent.Generate(text.Character, text.Lines);

    /// <summary>Tells the same story with the model as it was trained: each picture by itself, from the same noise.</summary>
    public Story TellSeparately(StoryText text) => _separate.Generate(text.Character, text.Lines);

    public void Dispose()
    {
        _consistent.Dispose();
        _separate.Dispose();
    }
}
