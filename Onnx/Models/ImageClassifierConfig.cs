using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The hyper-parameters of an architecture that classifies images, and what training and preprocessing have to know of it. To add an
/// architecture, derive a record in its file and list its variants in <see cref="ImageClassifiers"/>.
/// </summary>
public abstract record ImageClassifierConfig
{
    private protected ImageClassifierConfig()
    {
    }

    /// <summary>The number of channels of the image.</summary>
    public int InputChannels { get; init; } = 3;

    /// <summary>The number of classes.</summary>
    public int ClassCount { get; init; } = 1000;

    /// <summary>
    /// The probability, below 1, at which the last block's branches are left out while the model is trained; those of the blocks before
    /// it rise evenly from 0 where the architecture does so. What a trained model computes does not depend on it.
    /// </summary>
    public float DropPathRate { get; init; }

    /// <summary>The images that the published model was trained on.</summary>
    public PublishedInput Input { get; init; } = new();

    /// <summary>The number of steps of depth: the stem, each block, the head.</summary>
    public abstract int LayerCount { get; }

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images in pixels; null for any, where the architecture can.</param>
    /// <param name="width">The width of the images in pixels; null for any, where the architecture can.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public abstract OnnxModel Build(WeightSource weights, int? height = null, int? width = null);

    /// <summary>Whether a parameter belongs to the head, which is made anew for other classes.</summary>
    /// <param name="parameter">The parameter's name.</param>
    public abstract bool IsHead(string parameter);

    /// <summary>The depth of a parameter: 0 for the stem, then the blocks in order, <see cref="LayerCount"/> - 1 for the head.</summary>
    /// <param name="parameter">The parameter's name.</param>
    public abstract int LayerOf(string parameter);

    /// <summary>Whether the published recipe lets a parameter decay.</summary>
    /// <param name="parameter">The parameter's name.</param>
    /// <param name="rank">The number of its axes.</param>
    public virtual bool Decays(string parameter, int rank) => rank >= 2;
}

/// <summary>The images that a published model was trained and evaluated on.</summary>
public sealed record PublishedInput
{
    /// <summary>The side of the square image in pixels.</summary>
    public int Size { get; init; } = 224;

    /// <summary>The part of the shorter side that the central crop keeps, in (0, 1].</summary>
    public double CropFraction { get; init; } = 0.875;

    /// <summary>Whether pictures are resized bicubically rather than bilinearly.</summary>
    public bool IsBicubic { get; init; } = true;

    /// <summary>What is taken off red, green and blue, which are in [0, 1].</summary>
    public (float Red, float Green, float Blue) Mean { get; init; } = (0.485f, 0.456f, 0.406f);

    /// <summary>What red, green and blue are divided by after that.</summary>
    public (float Red, float Green, float Blue) StandardDeviation { get; init; } = (0.229f, 0.224f, 0.225f);
}
