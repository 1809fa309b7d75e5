namespace Microsoft.ML.Attention.Vision;

/// <summary>What pictures see of each other in one step of denoising; the same for all passes of a story.</summary>
/// <param name="Writes">For each layer whether the pictures of a character see each other.</param>
/// <param name="Reads">For each layer whether the other pictures see those of characters.</param>
/// <param name="Samples">For each level what a character's pictures let others see; none where nobody looks.</param>
internal sealed record ConsistencyStep(bool[] Writes, bool[] Reads, IReadOnlyList<TokenSample> Samples)
{
    /// <summary>Whether any picture sees another one's tokens.</summary>
    public bool IsShared => Samples.Count > 0;
}

/// <summary>
/// When and of what consistent self-attention takes place: layers are let out at random, and so are tokens (StoryDiffusion's
/// <c>app.py</c>, and <c>gradio_app_sdxl_specific_id_low_vram.py</c> for <see cref="StoryConsistency.Gathered"/>).
/// </summary>
internal sealed class ConsistencyPlan
{
    // The step that samples begin with, and that with which fewer layers are let out.
    private const int EarlySteps = 5, LateStep = 20;
    private const double LetOutFirst = 0.3, LetOutLate = 0.1;

    private readonly StoryConsistency _consistency;
    private readonly int _layerCount;
    private readonly int _pictureCount;
    private readonly (int TokenCount, float Share)[] _levels;
    private readonly PythonRandom _gates;
    private readonly Action<Span<float>> _fillUniform;
    private int _next;

    /// <param name="consistency">The kind of consistency.</param>
    /// <param name="layerCount">The number of consistent layers.</param>
    /// <param name="levels">For each level the number of tokens of a picture and the share of them that others see.</param>
    /// <param name="identityCount">The number of pictures that make up a character.</param>
    /// <param name="seed">What gates and samples are drawn from.</param>
    /// <param name="fillUniform">Draws numbers in [0, 1) for samples; null for those of the seed.</param>
    public ConsistencyPlan(
        StoryConsistency consistency, int layerCount, (int TokenCount, float Share)[] levels, int identityCount, long seed,
        Action<Span<float>>? fillUniform = null)
    {
        (_consistency, _layerCount, _levels) = (consistency, layerCount, levels);
        // The original draws for one picture more, the one that reads.
        _pictureCount = identityCount + 1;
        _gates = new(seed);
        _fillUniform = fillUniform ?? new TorchRandom(seed).FillUniform;
    }

    /// <summary>What gates are drawn from, and after all steps the order of pictures on a page.</summary>
    public PythonRandom Random => _gates;

    /// <summary>What happens in a step; the steps have to be asked for one after the other.</summary>
    public ConsistencyStep Step(int step)
    {
        if (step != _next++)
            throw new InvalidOperationException($"Step {step} was asked for where {_next - 1} is next.");
        return _consistency switch
        {
            StoryConsistency.None => new(Every(false), Every(false), []),
            StoryConsistency.Dense => DenseStep(step),
            StoryConsistency.Gathered => GatheredStep(step),
            _ => throw new InvalidOperationException($"{_consistency} is not a kind of consistency."),
        };
    }

    private ConsistencyStep DenseStep(int step)
    {
        // The first sample is drawn at the end of the first step.
        var drawn = step == 0 ? [] : Draw();
        if (step < EarlySteps)
            return new(Every(false), Every(true), [.. _levels.Select(AllTokens)]);
        return Gated(step, drawn);
    }

    private ConsistencyStep GatheredStep(int step)
    {
        var drawn = Draw();
        return step == 0 ? new(Every(false), Every(false), []) : Gated(step, drawn);
    }

    private ConsistencyStep Gated(int step, TokenSample[] samples)
    {
        var letOut = step < LateStep ? LetOutFirst : LetOutLate;
        bool[] isOpen = [.. Enumerable.Range(0, _layerCount).Select(_ => _gates.NextDouble() > letOut)];
        return new(isOpen, isOpen, Array.Exists(isOpen, open => open) ? samples : []);
    }

    private TokenSample[] Draw() => Array.ConvertAll(_levels, level =>
    {
        var uniform = new float[_pictureCount * level.TokenCount];
        _fillUniform(uniform);
        return TokenSample.Of(uniform, level.Share, level.TokenCount);
    });

    private TokenSample AllTokens((int TokenCount, float Share) level)
    {
        var all = new bool[_pictureCount * level.TokenCount];
        Array.Fill(all, true);
        return new(all, level.TokenCount);
    }

    private bool[] Every(bool isOpen)
    {
        var layers = new bool[_layerCount];
        Array.Fill(layers, isOpen);
        return layers;
    }
}
