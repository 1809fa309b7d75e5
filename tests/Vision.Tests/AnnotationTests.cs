using Microsoft.ML;
using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class AnnotationTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void VocBoxesAreClippedAndEmptyOnesDropped()
    {
        WriteVoc("one", """
            <annotation><filename>one.png</filename><size><width>100</width><height>50</height></size>
            <object><name>cell</name><difficult>0</difficult>
            <bndbox><xmin>1</xmin><ymin>11</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
            <object><name>cell</name><difficult>1</difficult>
            <bndbox><xmin>90</xmin><ymin>11</ymin><xmax>130</xmax><ymax>40</ymax></bndbox></object>
            <object><name>cell</name><bndbox><xmin>60</xmin><ymin>20</ymin><xmax>59</xmax><ymax>20</ymax></bndbox></object>
            <object><name>cell</name><bndbox><xmin>30</xmin><ymin>20</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object>
            </annotation>
            """);
        var annotations = VocAnnotations.Read(_folder, "pictures", ["one"]);
        var picture = Assert.Single(annotations.Pictures);
        Assert.Equal(Path.Combine("pictures", "one.png"), picture.Image);
        Assert.Equal([0, 10, 30, 40, 89, 10, 100, 40], picture.Boxes);
        Assert.Equal(["cell", "cell"], picture.Labels);
        Assert.Equal([false, true], picture.Ignored);
        Assert.Equal((2, 1, 2), (annotations.BoxCount, annotations.ClippedCount, annotations.DroppedCount));

        var ml = new MLContext();
        Assert.Equal(1, ml.Data.LoadAnnotations(annotations).GetRowCount());
    }

    [Theory]
    [InlineData("<annotation>", "is no annotation of the VOC format")]
    [InlineData("<annotation><object/></annotation>", "no element 'size'")]
    [InlineData("<annotation><size><width>9</width><height>x</height></size></annotation>", "'height' of 'size' is 'x', not a number")]
    [InlineData("<annotation><size><width>9</width><height>9</height></size><object><name>a</name></object></annotation>", "no element 'bndbox'")]
    public void BadVocFilesAreNamedWithWhatIsWrong(string content, string reason)
    {
        WriteVoc("bad", content);
        var error = Assert.Throws<InvalidDataException>(() => VocAnnotations.Read(_folder, _folder));
        Assert.Contains("bad.xml", error.Message);
        Assert.Contains(reason, error.Message);
    }

    [Fact]
    public void CocoCategoriesAreNamesAndCrowdsIgnored()
    {
        var file = Path.Combine(_folder, "instances.json");
        File.WriteAllText(file, """
            {"images":[{"id":7,"file_name":"a.jpg","width":100,"height":50},{"id":8,"file_name":"b.jpg","width":10,"height":10}],
            "categories":[{"id":3,"name":"car"},{"id":90,"name":"toothbrush"}],
            "annotations":[{"image_id":7,"category_id":90,"bbox":[10,20,30,10],"iscrowd":0},
            {"image_id":7,"category_id":3,"bbox":[90,0,20,50],"iscrowd":1},{"image_id":7,"category_id":3,"bbox":[5,5,0,3]}]}
            """);
        var annotations = CocoAnnotations.Read(file, "val");
        Assert.Equal(2, annotations.Pictures.Count);
        var picture = annotations.Pictures[0];
        Assert.Equal([10, 20, 40, 30, 90, 0, 100, 50], picture.Boxes);
        Assert.Equal(["toothbrush", "car"], picture.Labels);
        Assert.Equal([false, true], picture.Ignored);
        Assert.Empty(annotations.Pictures[1].Boxes);
        Assert.Equal(1, annotations.DroppedCount);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("""{"images":[],"categories":[],"annotations":[{"image_id":1,"category_id":2,"bbox":[0,0,1,1]}]}""")]
    [InlineData("""{"images":[],"categories":[{"id":2,"name":"a"}],"annotations":[{"image_id":1,"category_id":2,"bbox":[0,0,1,1]}]}""")]
    public void BadCocoFilesAreNamed(string content)
    {
        var file = Path.Combine(_folder, "instances.json");
        File.WriteAllText(file, content);
        Assert.Contains("instances.json", Assert.Throws<InvalidDataException>(() => CocoAnnotations.Read(file, "val")).Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private void WriteVoc(string id, string content) => File.WriteAllText(Path.Combine(_folder, id + ".xml"), content);
}
