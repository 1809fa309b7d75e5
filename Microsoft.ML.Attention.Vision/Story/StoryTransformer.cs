using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;
using Microsoft.ML.Transforms.Image;

[assembly: LoadableClass(typeof(StoryTransformer), null, typeof(SignatureLoadModel), "Story in pictures", StoryTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Makes pictures of the lines of stories: adds columns of pictures, captions and pages. Saved, it refers to the model's folder and does not
/// hold it, since published models have 5 GB and more: the folder has to be where it was when a story is made, or be given by
/// <see cref="WithModelFolder"/>.
/// <para>Rows of one story depend on each other, so that there is no <c>PredictionEngine</c>: see <see cref="StoryGenerator"/>.</para>
/// </summary>
public sealed class StoryTransformer : IScoringTransformer, IDisposable
{
    internal const string LoaderSignature = "AttentionStory";

    private readonly IHost _host;
    private readonly string _characters;
    private long _badRowCount;

    internal StoryTransformer(
        IHostEnvironment environment, string modelFolder, StoryOptions options, ScoringOptions scoring, StoryColumns columns, string characters)
    {
        _host = environment.Register(nameof(StoryTransformer));
        scoring.Check(_host);
        Generator = new(_host, modelFolder, options, scoring);
        (Columns, _characters) = (columns, characters);
    }

    /// <summary>The folder of the model.</summary>
    public string ModelFolder => Generator.ModelFolder;

    /// <summary>How stories are made.</summary>
    public StoryOptions Options => Generator.Options;

    /// <summary>How the model is run.</summary>
    public ScoringOptions Scoring => Generator.Scoring;

    /// <summary>The columns that are read and added.</summary>
    public StoryColumns Columns { get; }

    /// <summary>Rows, since the transformer was made, that no picture could be made of: see <see cref="BadInput.ScoreAsMissing"/>.</summary>
    public long BadRowCount => Interlocked.Read(ref _badRowCount);

    /// <inheritdoc/>
    public bool IsRowToRowMapper => false;

    internal StoryGenerator Generator { get; }

    internal IProgress<StoryProgress>? Progress { get; init; }

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => Transform(new EmptyDataView(_host, inputSchema)).Schema;

    /// <inheritdoc/>
    public IDataView Transform(IDataView input) => Transform(input, CancellationToken.None);

    /// <summary>Adds the columns to the data. A story is made when somebody reads one of them in a row of it.</summary>
    /// <param name="input">The data.</param>
    /// <param name="cancellation">Ends reading the result with an <see cref="OperationCanceledException"/>, even within a step.</param>
    public IDataView Transform(IDataView input, CancellationToken cancellation)
    {
        _host.CheckValue(input, nameof(input));
        Columns.Check(_host, input.Schema);
        return new StoryDataView(_host, this, input, cancellation);
    }

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException(
        $"The rows of a story depend on each other: use {nameof(Transform)}, or {nameof(StoryGenerator)} for one story.");

    /// <summary>The same transformer with its model in another folder.</summary>
    /// <param name="modelFolder">The folder.</param>
    public StoryTransformer WithModelFolder(string modelFolder) =>
        new(_host, modelFolder, Options, Scoring, Columns, _characters) { Progress = Progress };

    /// <summary>Closes the model; a later use opens it again.</summary>
    public void Dispose() => Generator.Dispose();

    ITransformer IScoringTransformer.WithScoring(ScoringOptions scoring) =>
        new StoryTransformer(_host, ModelFolder, Options, scoring, Columns, _characters) { Progress = Progress };

    void ICanSaveModel.Save(ModelSaveContext context)
    {
        _host.CheckValue(context, nameof(context));
        context.CheckAtModel();
        context.SetVersionInfo(GetVersionInfo());
        context.SaveNonEmptyString(ModelFolder);
        Options.Save(context);
        Scoring.Save(context);
        Columns.Save(context);
        context.SaveString(_characters);
    }

    internal DataViewSchema.DetachedColumn[] DescribeColumns()
    {
        var columns = new List<DataViewSchema.DetachedColumn>
        {
            new(Columns.Picture, Options is { Height: { } height, Width: { } width } ? new ImageDataViewType(height, width) : new ImageDataViewType()),
            new(Columns.Caption, TextDataViewType.Instance),
            new(Columns.Page, new ImageDataViewType()),
        };
        if (Scoring.ErrorColumnName is { } error)
            columns.Add(new(error, TextDataViewType.Instance));
        return [.. columns];
    }

    /// <summary>The characters of a story: those of all stories, and what the story's rows say.</summary>
    internal string CharactersOf(IEnumerable<string> rows) =>
        string.Join('\n', rows.Prepend(_characters).Where(text => !string.IsNullOrWhiteSpace(text)).Distinct());

    /// <summary>Throws for a row that no picture can be made of, or warns of it and counts it.</summary>
    internal void ReportBadRow(long row, string failure, IChannel channel)
    {
        if (Scoring.BadInput == BadInput.Throw)
            throw new InvalidDataException($"row {row}: {failure} (set BadInput to ScoreAsMissing to go on without such rows)");
        Interlocked.Increment(ref _badRowCount);
        channel.Warning($"row {row}: {failure}");
    }

    private static VersionInfo GetVersionInfo() => new(
        modelSignature: "ATTSTORY", verWrittenCur: 0x00010001, verReadableCur: 0x00010001, verWeCanReadBack: 0x00010001,
        loaderSignature: LoaderSignature, loaderAssemblyName: typeof(StoryTransformer).Assembly.FullName);

    private static StoryTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var folder = context.LoadNonEmptyString();
        var (options, scoring) = (StoryOptions.Load(context), ScoringOptions.Load(context));
        return new(environment, folder, options, scoring, StoryColumns.Load(context), context.LoadString());
    }
}
