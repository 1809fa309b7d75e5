using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Makes stories in pictures with a text-to-image model of Stable Diffusion's or SDXL's kind, the characters alike in all of them, without
/// training anything. It opens the model when it is first needed; threads may share it.
/// <para>Source: Zhou et al., "StoryDiffusion: Consistent Self-Attention for Long-Range Image and Video Generation", NeurIPS 2024
/// (arXiv 2405.01434), repository HVision-NKU/StoryDiffusion.</para>
/// </summary>
public sealed class StoryGenerator : IDisposable
{
    private static readonly IReadOnlyDictionary<string, IReadOnlyList<MLImage>> NoPhotos = new Dictionary<string, IReadOnlyList<MLImage>>();

    private readonly IHost _host;
    private readonly Lock _opening = new();
    private DiffusionModel? _model;

    /// <summary>A generator for a model.</summary>
    /// <param name="context">Where messages go.</param>
    /// <param name="modelFolder">
    /// The folder of an exported model in the layout of Hugging Face optimum: <c>unet</c>, <c>text_encoder</c>, <c>tokenizer</c>,
    /// <c>vae_decoder</c>, <c>scheduler</c>, and <c>text_encoder_2</c> and <c>tokenizer_2</c> for SDXL.
    /// </param>
    /// <param name="options">How stories are made.</param>
    /// <param name="scoring">Where the model runs; the batch size counts pictures, 4 by default.</param>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public StoryGenerator(MLContext context, string modelFolder, StoryOptions? options = null, ScoringOptions? scoring = null)
        : this((IHostEnvironment)context, modelFolder, options ?? new(), scoring ?? DefaultScoring)
    {
    }

    internal StoryGenerator(IHostEnvironment environment, string modelFolder, StoryOptions options, ScoringOptions scoring)
    {
        options.Validate();
        _host = environment.Register(nameof(StoryGenerator));
        (ModelFolder, Options, Scoring) = (modelFolder, options, scoring);
    }

    /// <summary>The folder of the model.</summary>
    public string ModelFolder { get; }

    /// <summary>How stories are made.</summary>
    public StoryOptions Options { get; }

    /// <summary>Where the model runs; the batch size counts pictures.</summary>
    public ScoringOptions Scoring { get; }

    internal static ScoringOptions DefaultScoring { get; } = new() { BatchSize = 4 };

    /// <summary>Makes a story.</summary>
    /// <param name="characters">
    /// What an only character looks like, or lines <c>[Name] description</c>; what comes after a '#' there is left out.
    /// </param>
    /// <param name="lines">
    /// A line a picture: <c>text #caption</c>. An only character is in all of them but those with <c>[NC]</c>, characters with names are
    /// where they are named.
    /// </param>
    /// <param name="progress">Is told each step.</param>
    /// <param name="cancellation">Ends the work with an <see cref="OperationCanceledException"/>, even in the middle of a step.</param>
    /// <exception cref="InvalidDataException">
    /// Characters are described badly, or one is alone in fewer lines than <see cref="StoryOptions.IdentityCount"/>.
    /// </exception>
    public Story Generate(
        string characters, IReadOnlyList<string> lines, IProgress<StoryProgress>? progress = null, CancellationToken cancellation = default) =>
        GenerateFromPhotos(characters, lines, NoPhotos, progress, cancellation);

    /// <summary>Makes a story of persons that there are photos of, with a model whose folder has PhotoMaker's encoder, <c>id_encoder</c>.</summary>
    /// <param name="characters">
    /// As without photos; the word <c>img</c> comes after the one that the photos belong to, as in <c>[Bob] a man img in a hat</c>.
    /// </param>
    /// <param name="lines">A line a picture.</param>
    /// <param name="referencePhotos">Photos by the characters' tags, such as <c>[Bob]</c>; that of an only character is empty.</param>
    /// <param name="progress">Is told each step.</param>
    /// <param name="cancellation">Ends the work with an <see cref="OperationCanceledException"/>, even in the middle of a step.</param>
    /// <exception cref="InvalidDataException">
    /// Characters are described badly, one is alone in fewer lines than <see cref="StoryOptions.IdentityCount"/>, or photos belong to no
    /// word, to no character, or to a model that cannot read them.
    /// </exception>
    public Story GenerateFromPhotos(
        string characters, IReadOnlyList<string> lines, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> referencePhotos,
        IProgress<StoryProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(characters);
        ArgumentNullException.ThrowIfNull(referencePhotos);
        if (lines is not { Count: > 0 })
            throw new ArgumentException("A story has at least one line.", nameof(lines));
        var (story, seed) = Draw(Script(characters, lines), referencePhotos, progress, cancellation);
        return new(
            [.. story.Prompts.Select((prompt, i) => new StoryPicture(prompt, story.Captions[i], story.Pictures[i].ToImage()))],
            [.. story.Pages.Select(page => page.ToImage())], seed);
    }

    /// <exception cref="InvalidDataException">What <see cref="Generate"/> says.</exception>
    internal StoryScript Script(string characters, IReadOnlyList<string> lines) =>
        new(characters, lines, Options.IdentityCount, Options.Consistency != StoryConsistency.None);

    internal (DrawnStory Story, long Seed) Draw(
        StoryScript script, IProgress<StoryProgress>? progress, CancellationToken cancellation) =>
        Draw(script, NoPhotos, progress, cancellation);

    private (DrawnStory Story, long Seed) Draw(
        StoryScript script, IReadOnlyDictionary<string, IReadOnlyList<MLImage>> photos, IProgress<StoryProgress>? progress,
        CancellationToken cancellation)
    {
        var seed = Options.Seed >= 0 ? Options.Seed : Random.Shared.Next();
        using var channel = _host.Start("Story");
        var model = Model();
        channel.Info($"Story of {script.Frames.Count} pictures from seed {seed}.");
        var story = new StoryDrawing(model, Options, Scoring.BatchSize, seed).Draw(script, photos, step =>
        {
            channel.Trace($"Step {step + 1} of {Options.StepCount}.");
            progress?.Report(new(step + 1, Options.StepCount));
        }, cancellation);
        return (story, seed);
    }

    /// <summary>Closes the model; a later use opens it again.</summary>
    public void Dispose()
    {
        lock (_opening)
        {
            _model?.Dispose();
            _model = null;
        }
    }

    private DiffusionModel Model()
    {
        lock (_opening)
            return _model ??= DiffusionModel.Open(_host, ModelFolder, Options, Scoring.Session);
    }
}
