using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture of a story.</summary>
/// <param name="Prompt">What it was made of, the style's words included.</param>
/// <param name="Caption">What its line says below the picture.</param>
/// <param name="Image">The picture.</param>
public sealed record StoryPicture(string Prompt, string Caption, MLImage Image);

/// <summary>A story in pictures; disposing of it disposes of them.</summary>
/// <param name="Pictures">One for each line.</param>
/// <param name="Pages">The pictures on pages, with captions.</param>
/// <param name="Seed">What the story was drawn from: it and the options make the same story again.</param>
public sealed record Story(IReadOnlyList<StoryPicture> Pictures, IReadOnlyList<MLImage> Pages, long Seed) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var image in Pictures.Select(picture => picture.Image).Concat(Pages))
            image.Dispose();
    }
}

/// <summary>How far a story is.</summary>
/// <param name="Step">The steps of denoising that are done.</param>
/// <param name="StepCount">The steps that there are.</param>
public readonly record struct StoryProgress(int Step, int StepCount);
