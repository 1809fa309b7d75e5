using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Enhances pictures taken in low light with a model that exists already; fitting checks the schema and learns nothing. To train a model
/// use <see cref="TroubleMakerTrainer"/>.
/// </summary>
public sealed class LowLightEnhancementEstimator : TrivialEstimator<LowLightEnhancementTransformer>
{
    private readonly ImageSource _images;

    internal LowLightEnhancementEstimator(IHostEnvironment environment, Options options)
        : this(environment, options, options.Content(environment))
    {
    }

    private LowLightEnhancementEstimator(IHostEnvironment environment, Options options, ModelContent model)
        : this(environment, options, model, new(options.ImageColumnName, options.ImageFolder, PreprocessingOf(model)))
    {
    }

    private LowLightEnhancementEstimator(IHostEnvironment environment, Options options, ModelContent model, ImageSource images)
        : base(
            environment.Register(nameof(LowLightEnhancementEstimator)),
            new(environment, model, options.Scoring, images, new(options.OutputColumnName, options.Fit, options.TileOverlap))) =>
        _images = images;

    /// <summary>Options for <see cref="LowLightEnhancementEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>
        /// The model's file, as <see cref="Ugdc.BuildPipeline"/> makes it of weights: input [N, 3, H, W] of fixed H and W, normalised as
        /// its checkpoints are, output <c>image</c> [N, H, W, 3] of bytes. Either this or <see cref="Model"/>.
        /// </summary>
        public string? ModelFile { get; set; }

        /// <summary>The model's bytes. Either this or <see cref="ModelFile"/>.</summary>
        public byte[]? Model { get; set; }

        /// <inheritdoc cref="ImageClassificationTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <inheritdoc cref="LowLightEnhancementTransformer.OutputColumnName"/>
        public string OutputColumnName { get; set; } = "Enhanced";

        /// <inheritdoc cref="LowLightEnhancementTransformer.Fit"/>
        public LowLightFit Fit { get; set; } = LowLightFit.Tiled;

        /// <summary>The least number of pixels that neighbouring tiles share, at most half a tile.</summary>
        public int TileOverlap { get; set; } = 32;

        /// <summary>
        /// Where the model runs and what becomes of bad pictures. The batch size counts tiles, or pictures with
        /// <see cref="LowLightFit.Resized"/>: the published nets take 1 GB for each 400 x 640 of them.
        /// </summary>
        public ScoringOptions Scoring { get; set; } = new() { BatchSize = 4 };

        internal ModelContent Content(IHostEnvironment environment)
        {
            if ((ModelFile is null) == (Model is null))
                throw environment.ExceptUserArg(nameof(ModelFile), $"give one of {nameof(ModelFile)} and {nameof(Model)}");
            return ModelFile is null ? new(Model!) : ModelContent.FromFile(ModelFile);
        }
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        _images.Check(Host, inputSchema);
        return OutputSchemaShape.Add(inputSchema, Transformer);
    }

    /// <summary>How pictures of a size become the input of a net.</summary>
    internal static ImagePreprocessing Preprocessing(int height, int width) =>
        ImagePreprocessing.Stretch(height, width) with { Filter = ResampleFilter.Bilinear };

    private static ImagePreprocessing PreprocessingOf(ModelContent model)
    {
        var graph = OnnxModel.Load(model.Bytes.Span).Graph;
        if (graph.Inputs is not [var input] || graph.Info(input).Shape is not [_, { Value: 3 }, { IsKnown: true } height, { IsKnown: true } width]
            || !graph.Outputs.Contains(EnhancedImageColumn.ModelOutput))
        {
            throw new ArgumentException($"{model.DisplayName} does not enhance pictures: that takes one input [N, 3, H, W] of fixed H and W "
                + $"and an output '{EnhancedImageColumn.ModelOutput}', as Ugdc.BuildPipeline makes them.");
        }
        return Preprocessing((int)height.Value, (int)width.Value);
    }
}
