using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(ImageClassificationTransformer), null, typeof(SignatureLoadModel),
    "Image classification", ImageClassificationTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(ImageClassificationTransformer), null, typeof(SignatureLoadRowMapper),
    "Image classification", ImageClassificationTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Classifies pictures with an ONNX model of one input <c>[N, 3, H, W]</c> and one output <c>[N, classes]</c> (logits). Adds the
/// columns that ML.NET's classifiers add: <c>Score</c>, the classes' probabilities, and <c>PredictedLabel</c>.
/// </summary>
public sealed class ImageClassificationTransformer : OnnxClassifierBase
{
    internal const string LoaderSignature = "AttentionImageClassifier";

    private readonly ImageSource _images;

    internal ImageClassificationTransformer(IHostEnvironment environment, LoadedClassifier parts, ImageSource images)
        : this(environment.Register(nameof(ImageClassificationTransformer)), parts, images)
    {
    }

    private ImageClassificationTransformer(IHost host, LoadedClassifier parts, ImageSource images)
        : base(host, parts.Model, parts.Scoring, parts.Columns, parts.Labels) => _images = images;

    /// <summary>The column of pictures: paths of files (text), contents of files (vectors of bytes) or <see cref="MLImage"/>s.</summary>
    public string ImageColumnName => _images.ColumnName;

    /// <summary>How pictures become the model's input.</summary>
    public ImagePreprocessing Preprocessing => _images.Preprocessing;

    /// <summary>How the training went; null for a model that was loaded or not trained here.</summary>
    public TrainingTrace? Trace { get; init; }

    /// <summary>
    /// Writes the model as an ONNX file for other programs: input <c>[N, 3, H, W]</c> as <see cref="Preprocessing"/> makes it, output the
    /// logits <c>[N, classes]</c> in the order of <see cref="OnnxClassifierBase.Classes"/>.
    /// </summary>
    /// <param name="path">The file to write.</param>
    public void SaveOnnx(string path) => File.WriteAllBytes(path, Model.ToFile());

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new ImageClassificationTransformer(Host, new(Model, scoring, Columns, Labels), _images) { Trace = Trace };

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => _images.BindInput(Session, schema);

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveClassifier(context);
        _images.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTNIMGC", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(ImageClassificationTransformer).Assembly.FullName);

    private static ImageClassificationTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var host = environment.Register(nameof(ImageClassificationTransformer));
        return new(host, LoadedClassifier.Load(host, context), ImageSource.Load(context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
