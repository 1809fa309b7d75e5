using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Scores pictures with an ONNX model that exists already; fitting checks the schema and learns nothing. With
/// <see cref="Options.Labels"/> the model is a classifier (an <see cref="ImageClassificationTransformer"/>), without them its outputs
/// become columns as they are (an <see cref="ImageScoringTransformer"/>).
/// </summary>
public sealed class ImageScoringEstimator : TrivialEstimator<OnnxTransformerBase>
{
    private readonly ImageSource _images;

    internal ImageScoringEstimator(IHostEnvironment environment, Options options)
        : base(environment.Register(nameof(ImageScoringEstimator)), CreateTransformer(environment, options)) => _images = options.Images;

    /// <summary>Options for <see cref="ImageScoringEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>
        /// The model's file; weights that it keeps in other files are looked for beside it. Either this or <see cref="Model"/>.
        /// </summary>
        public string? ModelFile { get; set; }

        /// <summary>The model's bytes. Either this or <see cref="ModelFile"/>.</summary>
        public byte[]? Model { get; set; }

        /// <inheritdoc cref="ImageClassificationTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>How pictures become the model's input.</summary>
        public ImagePreprocessing Preprocessing { get; set; } = ImagePreprocessing.ImageNet();

        /// <summary>The classes' names in the order of the model's logits; null for a model that is not a classifier.</summary>
        public IReadOnlyList<string>? Labels { get; set; }

        /// <summary>The names of a classifier's columns.</summary>
        public ClassifierColumns Columns { get; set; } = new();

        /// <summary>How rows are batched and where the model runs.</summary>
        public ScoringOptions Scoring { get; set; } = new();

        internal ImageSource Images => new(ImageColumnName, ImageFolder, Preprocessing);
    }

    /// <inheritdoc/>
    public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        _images.Check(Host, inputSchema);
        return OutputSchemaShape.Add(inputSchema, Transformer);
    }

    private static OnnxTransformerBase CreateTransformer(IHostEnvironment environment, Options options)
    {
        if ((options.ModelFile is null) == (options.Model is null))
            throw environment.ExceptUserArg(nameof(options), $"give one of {nameof(Options.ModelFile)} and {nameof(Options.Model)}");
        options.Preprocessing.Validate();
        var model = options.ModelFile is null ? new ModelContent(options.Model!) : ModelContent.FromFile(options.ModelFile);
        if (options.Labels is null)
            return new ImageScoringTransformer(environment, model, options.Scoring, options.Images);
        var labels = ClassLabels.FromNames(environment.Register(nameof(ImageScoringEstimator)), options.Labels);
        return new ImageClassificationTransformer(environment, new(model, options.Scoring, options.Columns, labels), options.Images);
    }
}
