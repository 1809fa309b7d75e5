using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(ImageScoringTransformer), null, typeof(SignatureLoadModel),
    "Image scoring", ImageScoringTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(ImageScoringTransformer), null, typeof(SignatureLoadRowMapper),
    "Image scoring", ImageScoringTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Scores pictures with any ONNX model of one input <c>[N, 3, H, W]</c>; all of its outputs are added under their own names.
/// </summary>
public sealed class ImageScoringTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "AttentionImageScorer";

    private readonly ImageSource _images;

    internal ImageScoringTransformer(IHostEnvironment environment, ModelContent model, ScoringOptions scoring, ImageSource images)
        : base(environment.Register(nameof(ImageScoringTransformer)), model, scoring) => _images = images;

    /// <inheritdoc cref="ImageClassificationTransformer.ImageColumnName"/>
    public string ImageColumnName => _images.ColumnName;

    /// <inheritdoc cref="ImageClassificationTransformer.Preprocessing"/>
    public ImagePreprocessing Preprocessing => _images.Preprocessing;

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new ImageScoringTransformer(Host, Model, scoring, _images);

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => _images.BindInput(Session, schema);

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
        Session.OutputNames.Where(Session.Outputs.ContainsKey).Select(name => TensorColumn.Create(name, Session.Outputs[name])).ToArray();

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        _images.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTNIMGS", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(ImageScoringTransformer).Assembly.FullName);

    private static ImageScoringTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        return new(environment, ModelContent.Load(context), scoring, ImageSource.Load(context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
