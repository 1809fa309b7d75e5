using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The classifier that a training starts from, and what the recipe has to know of its parameters.</summary>
/// <param name="Model">One input <c>[N, 3, H, W]</c>, one output <c>[N, classes]</c>.</param>
/// <param name="Preprocessing">How pictures become its input.</param>
/// <param name="LayerCount">The number of steps of depth.</param>
/// <param name="LayerOf">The depth of a parameter, from 0 to <paramref name="LayerCount"/> - 1.</param>
/// <param name="Decays">Whether a parameter, by name and rank, decays.</param>
internal sealed record StartingModel(
    OnnxModel Model, ImagePreprocessing Preprocessing, int LayerCount, Func<string, int> LayerOf, Func<string, int, bool> Decays)
{
    // The depth of an architecture that is not known is cut into as many steps as a ViT-B has blocks.
    private const int UnknownLayerCount = 12;

    public string Input => Model.Graph.Inputs[0];

    public string Logits => Model.Graph.Outputs[0];

    /// <summary>Builds an architecture with random weights, or those of a checkpoint but for the head.</summary>
    public static StartingModel Build(
        ImageClassifierConfig architecture, string? checkpoint, int classCount, ImagePreprocessing? preprocessing, int seed)
    {
        var config = architecture with { ClassCount = classCount, InputChannels = 3 };
        WeightSource weights = new RandomWeights(seed);
        if (checkpoint is not null)
            weights = Checkpoint.Load(checkpoint).Replace(config.IsHead, weights);
        preprocessing ??= ImagePreprocessing.For(config);
        var model = config.Build(weights, preprocessing.Height, preprocessing.Width);
        return new(model, preprocessing, config.LayerCount, config.LayerOf, config.Decays);
    }

    /// <summary>Takes any ONNX classifier and gives it a new head.</summary>
    public static StartingModel Load(string file, int classCount, ImagePreprocessing? preprocessing, int seed)
    {
        OnnxModel model;
        try
        {
            model = ClassifierHead.Replace(OnnxModel.Load(file), classCount, new RandomWeights(seed));
        }
        catch (NotSupportedException e)
        {
            throw new NotSupportedException($"'{file}' cannot be fine-tuned. {e.Message}", e);
        }
        var size = model.Graph.Info(model.Graph.Inputs[0]).Shape!;
        preprocessing ??= ImagePreprocessing.ImageNet(size[2].IsKnown ? (int)size[2].Value : 224);
        if ((size[2].IsKnown && size[2].Value != preprocessing.Height) || (size[3].IsKnown && size[3].Value != preprocessing.Width))
        {
            throw new ArgumentException($"'{file}' takes pictures of {size[2]} x {size[3]}; the preprocessing makes "
                + $"{preprocessing.Height} x {preprocessing.Width}: set its height and width to the model's.");
        }
        var layers = ParameterDepth.Of(model.Graph, UnknownLayerCount);
        return new(model, preprocessing, UnknownLayerCount, name => layers[name], (_, rank) => rank >= 2);
    }
}
